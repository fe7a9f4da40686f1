/** A network of its own for a test, and processes inside its instances; everything is gone when the test ends. */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Lease } from '../../src/domain/instance.ts';
import { hostPaths } from '../../src/host/paths.ts';
import { LinuxNetwork } from '../../src/network/linux-network.ts';
import type { HostPaths } from '../../src/ports/host.ts';
import type { NetworkRecord } from '../../src/ports/network.ts';

const execute = promisify(execFile);
/** No proxy settings: busybox would follow them, and every test of what is out of reach would pass. */
const env = { PATH: process.env.PATH };

export interface Bench {
  paths: HostPaths;
  directory: string;
  network: LinuxNetwork;
  create(name: string, internal?: boolean): Promise<NetworkRecord>;
}

export function bench(t: TestContext, poolSize = 2, resolvConf?: string): Bench {
  const directory = mkdtempSync(join(tmpdir(), 'bulkhead-network-'));
  const paths = hostPaths(join(directory, 'data'), join(directory, 'run'));
  const network = new LinuxNetwork({ paths, poolSize, ...(resolvConf ? { resolvConf } : {}) });
  t.after(async () => {
    await network.destroyAll();
    rmSync(directory, { recursive: true, force: true });
  });
  return {
    paths,
    directory,
    network,
    create: (name, internal = false) => network.create({ name, internal, labels: {} }),
  };
}

/** Runs to its end; a failure is a result, not an exception. */
export async function host(program: string, ...args: string[]): Promise<{ code: number; output: string }> {
  try {
    const { stdout, stderr } = await execute(program, args, { timeout: 10_000, env });
    return { code: 0, output: stdout + stderr };
  } catch (error) {
    const failed = error as { code?: number; stdout?: string; stderr?: string };
    return {
      code: typeof failed.code === 'number' ? failed.code : 1,
      output: `${failed.stdout ?? ''}${failed.stderr ?? ''}`,
    };
  }
}

export const inside = (lease: Lease, ...command: string[]) => host('nsenter', `--net=${lease.netnsPath}`, ...command);

/** Exit code of what got no answer at all: other failures would hide that the test itself is broken. */
export const SILENCE = 124;

export const fetchInside = (lease: Lease, address: string) =>
  inside(lease, 'timeout', '1.5', 'busybox', 'wget', '-q', '-O', '-', `http://${address}/`);

/** All addresses the network's name server gives for `name`, sorted. */
export async function lookup(lease: Lease, name: string): Promise<string[]> {
  const { output } = await inside(lease, 'busybox', 'nslookup', '-type=a', name, lease.dnsServer);
  return [...output.matchAll(/^Address(?: \d+)?: ([\d.]+)$/gm)].map((match) => match[1] as string).sort();
}

function background(t: TestContext, program: string, args: string[]): void {
  const child = spawn(program, args, { stdio: 'ignore', detached: true, env });
  t.after(() => {
    try {
      process.kill(-(child.pid as number), 'SIGKILL');
    } catch {}
  });
}

/** An HTTP server inside that answers `text`. */
export async function serveHttp(t: TestContext, lease: Lease, port: number, text: string): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'bulkhead-http-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(join(directory, 'index.html'), text);
  const command = ['busybox', 'httpd', '-f', '-p', String(port), '-h', directory];
  background(t, 'nsenter', [`--net=${lease.netnsPath}`, ...command]);
  await eventually(async () => (await fetchInside(lease, `${lease.ip}:${port}`)).output === text);
}

/** A UDP server inside that sends back what it gets. */
export async function serveUdpEcho(t: TestContext, lease: Lease, port: number): Promise<void> {
  const command = ['socat', `UDP4-RECVFROM:${port},fork`, 'EXEC:/bin/cat'];
  background(t, 'nsenter', [`--net=${lease.netnsPath}`, ...command]);
  const listening = async () =>
    (await inside(lease, 'ss', '-Hlun', 'sport', '=', `:${port}`)).output.includes(`:${port}`);
  await eventually(listening);
}

export async function eventually(condition: () => Promise<boolean> | boolean, limitMs = 5000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not so after ${limitMs} ms: ${condition}`);
    await sleep(20);
  }
}

/** Body of `GET /` from the host, or the error's code. */
export function fetchHost(address: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect({ host: address, port }, () => socket.write('GET / HTTP/1.0\r\n\r\n'));
    socket.setTimeout(2000, () => socket.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
    socket.on('end', () => resolve(Buffer.concat(chunks).toString().split('\r\n\r\n')[1] ?? ''));
  });
}

/** An IPv4 address of this host that is not loopback. */
export function ownAddress(): string | undefined {
  return Object.entries(networkInterfaces())
    .filter(([name]) => !/^b[0-9a-f]{6}/.test(name))
    .flatMap(([, addresses]) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
}

/** Everything on the host whose name holds this engine's tag. Empty is the promise of `destroyAll`. */
export async function remains({ tag, run }: HostPaths): Promise<string[]> {
  const netns = (await host('ls', '/run/netns')).output.split('\n').filter((name) => name.startsWith(`bh${tag}-`));
  const links = (await host('ls', '/sys/class/net')).output.split('\n').filter((name) => name.startsWith(`b${tag}`));
  const tables = (await host('nft', 'list', 'tables')).output.split('\n').filter((line) => line.includes(tag));
  const processes = (await host('ps', '-eo', 'stat,args')).output
    .split('\n')
    .filter((line) => line.includes(`--conf-file=${run}/`) && !line.startsWith('Z'));
  return [...netns, ...links, ...tables, ...processes];
}
