/** The main job: one real image through a real registry, run at every level this host provides, and what each costs. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import type { Doctor, ImageSummary, LevelReport } from '@bulkhead/contract';
import { BulkheadError } from '@bulkhead/contract';
import { Client } from '@bulkhead/sdk';

const root = path.resolve(import.meta.dirname, '..');
const bulkhead = path.join(root, 'bulkhead');
const wanted = process.argv[2];
const cache = process.env.BULKHEAD_CACHE ?? '/var/cache/bulkhead';

const say = (line: string): void => console.error(`bulkhead: ${line}`);

/** A command whose output belongs to the user; ends the program where it fails. */
function must(command: string, ...args: string[]): void {
  const done = spawnSync(command, args, { stdio: ['ignore', process.stderr, 'inherit'] });
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${done.status ?? done.signal}`);
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Debian's registry on loopback, for as long as `body` runs. */
async function withRegistry<T>(body: (address: string) => Promise<T>): Promise<T> {
  const port = await freePort();
  const folder = path.join(cache, 'registry');
  mkdirSync(folder, { recursive: true });
  const config = path.join(cache, 'registry.yml');
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${folder}}}\nhttp: {addr: '127.0.0.1:${port}'}\n`,
  );
  const registry = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
  try {
    for (let attempt = 0; attempt < 100; attempt++) {
      const up = await new Promise<boolean>((resolve) => {
        const probe = net.connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
        probe.unref();
      });
      if (up) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return await body(`127.0.0.1:${port}`);
  } finally {
    registry.kill();
  }
}

/** A small Debian root from the distribution's own archive, made once. */
function debianArchive(): string {
  const archive = path.join(cache, 'debian.tar');
  if (existsSync(archive)) return archive;
  mkdirSync(cache, { recursive: true });
  say('making a Debian root with mmdebstrap (once, about a minute)');
  const partial = `${archive}.partial`;
  const codename = /^VERSION_CODENAME=(\w+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'bookworm';
  must('mmdebstrap', '--quiet', '--variant=minbase', '--format=tar', codename, partial, ...ownMirror());
  renameSync(partial, archive);
  return archive;
}

/** The archive this machine installs from, so that no other has to be reachable; empty where it is not Debian's. */
function ownMirror(): string[] {
  const lines = ['/etc/apt/sources.list', '/etc/apt/sources.list.d/debian.sources']
    .filter(existsSync)
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
  const mirror = lines
    .split('\n')
    .filter((line) => !line.startsWith('#') && !line.includes('security'))
    .flatMap((line) => /https?:\/\/\S+/.exec(line) ?? [])
    .find((address) => address.includes('debian'));
  return mirror === undefined ? [] : [mirror];
}

interface Row {
  level: string;
  kernel: string;
  firstOutput: string;
  memory: string;
  holds: string;
}

async function measure(client: Client, image: ImageSummary, report: LevelReport): Promise<Row> {
  const row: Row = { level: report.level, kernel: '-', firstOutput: '-', memory: '-', holds: report.holds };
  const started = performance.now();
  const instance = await client.createInstance({
    image: image.id,
    start: true,
    isolation: report.level,
    entrypoint: [],
    command: ['sh', '-c', 'uname -r; exec sleep 60'],
  });
  try {
    const session = await client.attach(instance.id, { logs: true });
    let text = '';
    for await (const chunk of session.stdout) {
      if (text === '') row.firstOutput = `${Math.round(performance.now() - started)} ms`;
      text += chunk.toString();
      if (text.includes('\n')) break;
    }
    session.close();
    row.kernel = text.trim();
    for await (const stats of client.stats({ ref: [instance.id], once: true }))
      row.memory = `${(stats.memoryBytes / 2 ** 20).toFixed(1)} MiB`;
  } finally {
    await client.removeInstance(instance.id, { force: true, volumes: true });
  }
  return row;
}

function table(rows: Row[]): string {
  const head: Row = {
    level: 'LEVEL',
    kernel: 'KERNEL THE TASK SEES',
    firstOutput: 'FIRST OUTPUT',
    memory: 'MEMORY',
    holds: 'WHAT HOLDS IT',
  };
  const all = [head, ...rows];
  const columns = Object.keys(head) as (keyof Row)[];
  const width = new Map(columns.map((column) => [column, Math.max(...all.map((row) => row[column].length))]));
  return all
    .map((row) =>
      columns
        .map((column) => row[column].padEnd(width.get(column) ?? 0))
        .join('   ')
        .trimEnd(),
    )
    .join('\n');
}

async function main(): Promise<void> {
  must(bulkhead, 'up');
  const client = new Client();
  const name = wanted ?? 'debian:bulkhead';
  const image = await withRegistry(async (address) => {
    if (wanted === undefined) {
      const archive = debianArchive();
      if (!(await client.listImages()).some((known) => known.tags.some((tag) => tag.endsWith(name)))) {
        say('turning the Debian root into an image');
        const context = path.join(cache, 'context');
        mkdirSync(context, { recursive: true });
        rmSync(path.join(context, 'root.tar'), { force: true });
        linkSync(archive, path.join(context, 'root.tar'));
        writeFileSync(path.join(context, 'Dockerfile'), 'FROM scratch\nADD root.tar /\nCMD ["bash"]\n');
        must(bulkhead, 'build', '-q', '-t', name, context);
      }
    } else if (!(await client.listImages()).some((known) => known.tags.includes(wanted))) {
      must(bulkhead, 'pull', wanted);
    }
    const remote = `${address}/bulkhead/${path.basename(name).replace(/@.*$/, '')}`;
    say(`pushing ${name} to a registry on loopback and pulling it back`);
    must(bulkhead, 'tag', name, remote);
    must(bulkhead, 'push', '-q', remote);
    must(bulkhead, 'pull', '-q', remote);
    const pulled = await client.inspectImage(remote);
    must(bulkhead, 'rmi', remote);
    return pulled;
  });

  say('probing what this host can do (cached for the next time)');
  const doctor: Doctor = await client.doctor({});
  const rows: Row[] = [];
  const lacking: LevelReport[] = [];
  for (const report of doctor.levels) {
    if (!report.available) {
      lacking.push(report);
      continue;
    }
    say(`running it at level ${report.level}`);
    rows.push(await measure(client, image, report));
  }
  console.log(
    `\n${name} (${image.id.slice(7, 19)}, ${(image.sizeBytes / 2 ** 20).toFixed(0)} MiB), one image at every level:\n\n${table(rows)}\n`,
  );
  for (const report of lacking)
    console.log(
      `not on this host: ${report.level}: ${report.reason ?? 'unknown reason'}\n    to get it: ${report.fix ?? 'see `bulkhead doctor`'}`,
    );
  console.log(`
What to try next:
  ./bulkhead run --rm -it ${name} bash                         a shell in a container
  ./bulkhead run --rm --isolation microvm ${name} uname -a     the same in a virtual machine
  ./bulkhead run --rm --trust untrusted ${name} id             policy picks the level
  ./bulkhead explain --trust untrusted ${name}                 and says why
  ./bulkhead doctor                                            what this host can do, and how to get the rest
  ./bulkhead down --stop                                       stop everything`);
  rmSync(path.join(cache, 'context'), { recursive: true, force: true });
}

try {
  await main();
} catch (error) {
  say(error instanceof BulkheadError ? `${error.message}\n  ${error.hint}` : (error as Error).message);
  process.exitCode = 1;
}
