/** The speed the product promises, against the raw tools and the peers in the same run. Prints ratios; times are only their material. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { Client } from '@bulkhead/sdk';
import { startDocker, startRegistry } from './peers.ts';
import { race, table, timeProcess, verdict } from './sample.ts';

const root = path.resolve(import.meta.dirname, '..');
const bulkhead = path.join(root, 'bulkhead');
const rounds = Number(process.env.BENCH_ROUNDS ?? 20);
const only = new Set(process.argv.slice(2));
const wants = (part: string): boolean => only.size === 0 || only.has(part);
const archive = '/var/cache/bulkhead/debian.tar';
const IMAGE = 'bench/debian:1';

const lines: string[] = [];
const print = (line: string): void => {
  lines.push(line);
  console.log(line);
};

function must(command: string, args: string[], env: NodeJS.ProcessEnv = process.env): string {
  const done = spawnSync(command, args, { encoding: 'utf8', env, maxBuffer: 1 << 26 });
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${done.stderr}`);
  return done.stdout;
}

/** Sum of the proportional set sizes of processes, in bytes. */
function pss(pids: number[]): number {
  return pids.reduce((sum, pid) => {
    try {
      return sum + Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) * 1024;
    } catch {
      return sum;
    }
  }, 0);
}

function pidsMatching(pattern: RegExp): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return pattern.test(readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ')) ? [Number(name)] : [];
      } catch {
        return [];
      }
    });
}

if (!existsSync(archive)) throw new Error('run `npm start` once first: it makes the Debian root the benchmark uses');
const folder = mkdtempSync('/var/tmp/bulkhead-bench-');
// A container's root is an ordinary user outside, who has to get through.
chmodSync(folder, 0o711);
const data = path.join(folder, 'data');
const run = path.join(folder, 'run');
mkdirSync(data);
// Kernels are large and the same for every engine.
const kernels = ['/var/lib/bulkhead/kernels', '/var/cache/bulkhead/kernels'].find(existsSync);
if (kernels !== undefined) symlinkSync(kernels, path.join(data, 'kernels'));
const socket = path.join(run, 'api.sock');
const env = { ...process.env, BULKHEAD_HOST: socket };
// As a user starts it.
const enginePid = Number(/pid (\d+)/.exec(must(bulkhead, ['up', '--data', data, '--run', run]))?.[1]);
const registry = await startRegistry(path.join(folder, 'registry'));
const docker = await startDocker(path.join(folder, 'docker'), registry.address);
const client = new Client(socket);

async function ready(): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    try {
      await client.ping();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  throw new Error('the engine did not come up');
}

/** API create+start to the first byte of output, then removes the instance outside of the measured time. */
async function apiFirstByte(level: 'container' | 'gvisor' | 'microvm', entrypointArgs: string[]): Promise<number> {
  const started = performance.now();
  const { id, session } = await client.runInstance({
    image: IMAGE,
    start: true,
    isolation: level,
    entrypoint: [],
    command: entrypointArgs,
  });
  let took = Number.NaN;
  for await (const _chunk of session.stdout) {
    took = performance.now() - started;
    break;
  }
  session.close();
  await client.removeInstance(id, { force: true });
  return took;
}

/** The bundle of a running instance with another command: the raw runtime gets exactly what ours got. */
async function rawBundle(level: 'container' | 'gvisor', args: string[]): Promise<{ bundle: string; id: string }> {
  const instance = await client.createInstance({
    image: IMAGE,
    start: true,
    isolation: level,
    entrypoint: [],
    command: ['sleep', '100000'],
  });
  const source = path.join(run, 'instances', instance.id);
  const config = JSON.parse(readFileSync(path.join(source, 'config.json'), 'utf8'));
  config.process.args = args;
  config.process.terminal = false;
  config.root.path = path.resolve(source, config.root.path);
  if (level === 'container') config.linux.cgroupsPath = `/bulkhead-bench/${level}`;
  const bundle = path.join(folder, `raw-${level}`);
  mkdirSync(bundle, { recursive: true });
  writeFileSync(path.join(bundle, 'config.json'), JSON.stringify(config));
  return { bundle, id: instance.id };
}

async function startToFirstByte(): Promise<void> {
  const raw = await rawBundle('container', ['echo', 'hi']);
  const results = await race(
    [
      {
        name: 'crun run (raw)',
        once: () => timeProcess('first', 'crun', ['run', '--bundle', raw.bundle, `raw-${process.hrtime.bigint()}`]),
      },
      { name: 'bulkhead API, container', once: () => apiFirstByte('container', ['echo', 'hi']) },
      {
        name: 'docker run',
        once: () => timeProcess('first', 'docker', [...docker.host, 'run', '--rm', IMAGE, 'echo', 'hi']),
      },
    ],
    rounds,
    3,
  );
  await client.removeInstance(raw.id, { force: true });
  print('\n1. create+start to first byte, container');
  print(table(results));
  const [crun, ours, dockers] = results.map((result) => result.medianMs) as [number, number, number];
  print(verdict('API container / raw crun', ours / crun, { atMost: 2 }));
  print(verdict('docker run / API container', dockers / ours, { atLeast: 12 }));
}

async function wholeCommand(): Promise<void> {
  const contenders = [
    {
      name: 'bulkhead run --rm IMAGE true',
      once: () => timeProcess('exit', bulkhead, ['run', '--rm', IMAGE, 'true'], { env }),
    },
    {
      name: 'docker run --rm IMAGE true',
      once: () => timeProcess('exit', 'docker', [...docker.host, 'run', '--rm', IMAGE, 'true']),
    },
  ];
  const podman = [
    '--root',
    `${folder}/podman`,
    '--runroot',
    `${folder}/podman-run`,
    '--cgroup-manager',
    'cgroupfs',
    '--runtime',
    'crun',
    '--events-backend',
    'none',
  ];
  const tar = path.join(folder, 'image.tar');
  const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'];
  if (
    spawnSync('podman', [...podman, 'load', '-q', '-i', tar]).status === 0 &&
    spawnSync('podman', [...podman, 'run', '--rm', ...limits, IMAGE, 'true']).status === 0
  ) {
    contenders.push({
      name: 'podman run --rm IMAGE true',
      once: () => timeProcess('exit', 'podman', [...podman, 'run', '--rm', ...limits, IMAGE, 'true']),
    });
  } else
    print(
      '   podman does not run here; it is left out: ' +
        spawnSync('podman', [...podman, 'run', '--rm', ...limits, IMAGE, 'true'], { encoding: 'utf8' })
          .stderr.trim()
          .slice(-200),
    );
  const results = await race(contenders, rounds, 3);
  print('\n2. the whole command');
  print(table(results));
  const ours = results[0]?.medianMs ?? Number.NaN;
  for (const peer of results.slice(1))
    print(verdict(`${peer.name.split(' ')[0]} / bulkhead`, peer.medianMs / ours, { atLeast: 3 }));
}

async function gvisor(): Promise<void> {
  const raw = await rawBundle('gvisor', ['echo', 'hi']);
  const detail = (await client.doctor({})).levels.find((level) => level.level === 'gvisor')?.detail ?? {};
  const flags = [
    '--root',
    `${folder}/runsc`,
    '--ignore-cgroups',
    '--overlay2=none',
    `--platform=${detail.platform ?? 'systrap'}`,
    `--network=${detail.network ?? 'host'}`,
  ];
  const results = await race(
    [
      {
        name: 'runsc run (raw)',
        once: () =>
          timeProcess('first', 'runsc', [...flags, 'run', '--bundle', raw.bundle, `raw-${process.hrtime.bigint()}`]),
      },
      { name: 'bulkhead API, gvisor', once: () => apiFirstByte('gvisor', ['echo', 'hi']) },
    ],
    rounds,
    2,
  );
  await client.removeInstance(raw.id, { force: true });
  print('\n3. create+start to first byte, gvisor');
  print(table(results));
  print(
    verdict('API gvisor / raw runsc', (results[1]?.medianMs ?? Number.NaN) / (results[0]?.medianMs ?? Number.NaN), {
      atMost: 1.3,
    }),
  );
}

async function microvm(): Promise<void> {
  const kernel = path.join(data, 'kernels');
  const flavour = readdirSync(kernel).find((name) => name === 'own') ?? 'cloud';
  const image = readdirSync(path.join(kernel, flavour)).find((name) => name.startsWith('vmlinuz'));
  const init = path.join(folder, 'raw-init');
  mkdirSync(path.join(init, 'dev'), { recursive: true });
  writeFileSync(
    path.join(folder, 'init.c'),
    '#include <unistd.h>\n#include <fcntl.h>\n#include <sys/mount.h>\n#include <sys/reboot.h>\nint main(){mount("d","/dev","devtmpfs",0,0);int f=open("/dev/console",2);write(f,"INIT\\n",5);reboot(RB_POWER_OFF);for(;;)pause();}\n',
  );
  must('sh', [
    '-c',
    'musl-gcc -static -O2 -o "$1/init" "$2" && cd "$1" && find . | cpio -o -H newc >"$1.cpio" 2>/dev/null',
    'sh',
    init,
    path.join(folder, 'init.c'),
  ]);
  const args = [
    '-M',
    'microvm',
    '-accel',
    'tcg',
    '-cpu',
    'max',
    '-m',
    '256',
    '-smp',
    '1',
    '-nodefaults',
    '-no-user-config',
    '-display',
    'none',
    '-no-reboot',
    '-kernel',
    path.join(kernel, flavour, image ?? ''),
    '-initrd',
    `${init}.cpio`,
    '-append',
    'console=ttyS0 quiet panic=-1',
    '-serial',
    'stdio',
  ];
  const results = await race(
    [
      {
        name: `qemu -M microvm to init (raw, ${flavour} kernel)`,
        once: () =>
          timeProcess('first', 'sh', [
            '-c',
            'timeout 20 qemu-system-x86_64 "$@" </dev/null | grep --line-buffered -a INIT',
            'sh',
            ...args,
          ]),
      },
      { name: 'bulkhead API, microvm cold', once: () => apiFirstByte('microvm', ['echo', 'hi']) },
    ],
    rounds,
    1,
  );
  print('\n4. create+start to first byte, microvm (cold)');
  print(table(results));
  print(
    verdict(
      'API microvm / raw QEMU to init',
      (results[1]?.medianMs ?? Number.NaN) / (results[0]?.medianMs ?? Number.NaN),
      { atMost: 1.3 },
    ),
  );
}

async function pulls(): Promise<void> {
  const layered = path.join(folder, 'layers');
  mkdirSync(layered, { recursive: true });
  for (let layer = 0; layer < 29; layer++)
    writeFileSync(path.join(layered, `f${layer}`), Buffer.alloc(1_000_000, layer));
  writeFileSync(
    path.join(layered, 'Dockerfile'),
    `FROM ${IMAGE}\n${Array.from({ length: 29 }, (_, layer) => `COPY f${layer} /opt/f${layer}`).join('\n')}\n`,
  );
  must('docker', [...docker.host, 'build', '-q', '-t', 'bench/layers:1', layered]);
  print('\n5. pull and prepare from the loopback registry');
  const images = [
    ['a Debian image', IMAGE],
    ['an image of 30 layers', 'bench/layers:1'],
  ] as const;
  for (const [, name] of images) {
    must('docker', [...docker.host, 'tag', name, `${registry.address}/${name}`]);
    must('docker', [...docker.host, 'push', '-q', `${registry.address}/${name}`]);
  }
  must('docker', [...docker.host, 'image', 'prune', '-af']);
  for (const [what, name] of images) {
    const remote = `${registry.address}/${name}`;
    for (const known of await client.listImages()) await client.removeImage(known.id, { force: true });
    await client.pruneImages({ all: true });
    const results = await race(
      [
        {
          name: 'docker pull',
          once: async () => {
            const took = await timeProcess('exit', 'docker', [...docker.host, 'pull', '-q', remote]);
            must('docker', [...docker.host, 'rmi', '-f', remote]);
            must('docker', [...docker.host, 'image', 'prune', '-af']);
            return took;
          },
        },
        {
          name: 'bulkhead pull',
          once: async () => {
            const took = await timeProcess('exit', bulkhead, ['pull', '-q', remote], { env });
            must(bulkhead, ['rmi', '-f', remote], env);
            must(bulkhead, ['image', 'prune', '-af'], env);
            return took;
          },
        },
      ],
      rounds,
      1,
    );
    print(`   ${what}:`);
    print(table(results));
    print(
      verdict(
        `bulkhead pull / docker pull, ${what}`,
        (results[1]?.medianMs ?? Number.NaN) / (results[0]?.medianMs ?? Number.NaN),
        { atMost: 1 },
      ),
    );
  }
}

async function density(): Promise<void> {
  const count = Number(process.env.BENCH_DENSITY ?? 200);
  const ids: string[] = [];
  const first: number[] = [];
  const last: number[] = [];
  for (let index = 0; index < count; index++) {
    if (index < 10 || index >= count - 10)
      (index < 10 ? first : last).push(await apiFirstByte('container', ['echo', 'hi']));
    ids.push(
      (await client.createInstance({ image: IMAGE, start: true, entrypoint: [], command: ['sleep', '100000'] })).id,
    );
  }
  const median = (values: number[]): number =>
    values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
  const listing: number[] = [];
  for (let index = 0; index < 20; index++) {
    const started = performance.now();
    await new Promise<void>((resolve, reject) =>
      http
        .get({ socketPath: socket, path: '/v1/instances' }, (answer) => answer.resume().on('end', resolve))
        .on('error', reject),
    );
    listing.push(performance.now() - started);
  }
  const command: number[] = [];
  for (let index = 0; index < 10; index++) command.push(await timeProcess('exit', bulkhead, ['ps', '-q'], { env }));
  const enginePss = pss([enginePid]);
  const perContainer = pss(pidsMatching(new RegExp(`conmon .*${run}`))) / count;
  const dockerIds: string[] = [];
  for (let index = 0; index < 20; index++)
    dockerIds.push(must('docker', [...docker.host, 'run', '-d', IMAGE, 'sleep', '100000']).trim());
  const shims = pidsMatching(/containerd-shim/);
  const dockerPer = pss(shims) / dockerIds.length;
  print(`\n6. ${count} running containers`);
  print(`  start to first byte: first ten ${median(first).toFixed(1)} ms, last ten ${median(last).toFixed(1)} ms`);
  print(verdict('start latency, last / first', median(last) / median(first), { atMost: 1.5 }));
  print(
    `  listing over the API: median ${median(listing).toFixed(1)} ms; \`bulkhead ps\` whole command ${median(command).toFixed(1)} ms (target: under 50 ms)`,
  );
  print(`  engine: ${(enginePss / 2 ** 20).toFixed(0)} MiB PSS (target: under 150 MB)`);
  print(
    `  supervisor per idle container: bulkhead ${(perContainer / 2 ** 20).toFixed(2)} MiB, docker ${(dockerPer / 2 ** 20).toFixed(2)} MiB PSS`,
  );
  print(verdict('host memory per idle container, bulkhead / docker', perContainer / dockerPer, { atMost: 0.2 }));
  must('docker', [...docker.host, 'rm', '-f', ...dockerIds]);
  await Promise.all(ids.map((id) => client.removeInstance(id, { force: true })));
}

try {
  await ready();
  const context = path.join(folder, 'context');
  mkdirSync(context);
  must('cp', [archive, path.join(context, 'root.tar')]);
  writeFileSync(path.join(context, 'Dockerfile'), 'FROM scratch\nADD root.tar /\nCMD ["bash"]\n');
  must(bulkhead, ['build', '-q', '-t', IMAGE, context], env);
  must(bulkhead, ['save', '-o', path.join(folder, 'image.tar'), IMAGE], env);
  must('docker', [...docker.host, 'load', '-q', '-i', path.join(folder, 'image.tar')]);
  print(
    `bulkhead bench/speed.ts, ${new Date().toISOString().slice(0, 10)}, ${os.cpus().length} x ${os.cpus()[0]?.model}, ${(os.totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${os.release()}, ${rounds} rounds`,
  );
  print(
    `${must('crun', ['--version']).split('\n')[0]}; ${must('docker', ['--version']).trim()}; ${must('qemu-system-x86_64', ['--version']).split('\n')[0]}`,
  );
  if (wants('container')) await startToFirstByte();
  if (wants('command')) await wholeCommand();
  if (wants('gvisor')) await gvisor();
  if (wants('microvm')) await microvm();
  if (wants('density')) await density();
  if (wants('pull')) await pulls();
} finally {
  spawnSync(bulkhead, ['down', '--stop', '--purge'], { env, stdio: 'ignore', timeout: 120_000 });
  await docker.stop();
  await registry.stop();
  spawnSync('sh', [
    '-c',
    'for m in $(findmnt -rno TARGET | grep "$1" | sort -r); do umount -l "$m"; done',
    'sh',
    folder,
  ]);
  rmSync(path.join(data, 'kernels'), { force: true });
  rmSync(folder, { recursive: true, force: true });
}
