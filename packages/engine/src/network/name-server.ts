/** One dnsmasq per network: answers the instances' names from a file each, forwards the rest. It outlives the engine. */
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BulkheadError } from '@bulkhead/contract';
import type { NetworkRecord } from '../ports/network.ts';
import { runCommand } from './command.ts';

const STOP_LIMIT_MS = 2000;
const USERS = ['dnsmasq', 'nobody'];
/** As wide as names of instances are; dnsmasq passes over one DNS does not allow (a label beyond 63 characters). */
const LEGAL_NAME = /^[a-z0-9_][a-z0-9_.-]{0,252}$/i;

export class NameServer {
  readonly #network: NetworkRecord;
  readonly #directory: string;
  readonly #hosts: string;
  readonly #configuration: string;

  readonly #resolvConf: string;

  /** `root` is `<run>/net`; `resolvConf` names the resolvers that know the outside. */
  constructor(root: string, network: NetworkRecord, resolvConf = '/etc/resolv.conf') {
    this.#resolvConf = resolvConf;
    this.#network = network;
    this.#directory = `${root}/${network.id}`;
    this.#hosts = `${this.#directory}/hosts`;
    this.#configuration = `${this.#directory}/dnsmasq.conf`;
  }

  /** Adopts a running one that has the right configuration, else starts it. */
  async start(): Promise<void> {
    makeReadable(this.#hosts);
    const wanted = this.#configurationText();
    const pid = this.#pid();
    if (pid !== undefined && readText(this.#configuration) === wanted) return;
    if (pid !== undefined) await endProcess(pid);
    writeReadable(this.#configuration, wanted);
    const { code, stderr } = await runCommand('dnsmasq', [`--conf-file=${this.#configuration}`]);
    if (code === 0) return;
    throw new BulkheadError(
      'start_failed',
      `dnsmasq does not start for network ${this.#network.name}: ${stderr.trim()}`,
      {
        hint: `It needs port 53 of ${this.#network.gateway}; see who has it with \`ss -lunp sport = :53\`.`,
      },
    );
  }

  async stop(): Promise<void> {
    const pid = this.#pid();
    if (pid !== undefined) await endProcess(pid);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** dnsmasq sees the rename through inotify and swaps old names for new ones in one go. */
  register(id: string, ip: string, names: string[]): void {
    const temporary = `${this.#directory}/${id}.new`;
    writeReadable(temporary, `${ip} ${names.join(' ')}\n`);
    renameSync(temporary, `${this.#hosts}/${id}`);
  }

  unregister(id: string): void {
    rmSync(`${this.#hosts}/${id}`, { force: true });
  }

  registered(): string[] {
    try {
      return readdirSync(this.#hosts);
    } catch {
      return [];
    }
  }

  #configurationText(): string {
    const { bridge, internal } = this.#network;
    const lines = [
      `interface=${bridge}`,
      'except-interface=lo',
      'bind-dynamic', // Unlike bind-interfaces it also checks where a question came in.
      `no-dhcp-interface=${bridge}`,
      'no-hosts',
      `hostsdir=${this.#hosts}`,
      `pid-file=${this.#directory}/dnsmasq.pid`,
      `user=${runAs(this.#hosts)}`,
      'domain-needed',
      'filter-AAAA', // Instances have no IPv6: an answer would only make them wait.
      'cache-size=1000',
      'quiet-dhcp',
      'log-facility=/dev/null',
      internal ? 'no-resolv' : `resolv-file=${this.#resolvConf}`,
    ];
    return `${lines.join('\n')}\n`;
  }

  #pid(): number | undefined {
    const pid = Number.parseInt(readText(`${this.#directory}/dnsmasq.pid`) ?? '', 10);
    return Number.isInteger(pid) && commandLine(pid).includes(`--conf-file=${this.#configuration}`) ? pid : undefined;
  }
}

/** Refuses what would break the hosts file or never resolve. */
export function checkNames(names: string[]): string[] {
  for (const name of names) {
    if (!LEGAL_NAME.test(name)) {
      throw new BulkheadError('invalid_name', `${JSON.stringify(name.slice(0, 140))} cannot be a name on a network`);
    }
  }
  return [...new Set(names)];
}

/** Ends every dnsmasq of this engine but those of `keep` (network ids), also one whose pid file is gone: nobody could find it later. */
export async function endNameServers(root: string, keep: Set<string>): Promise<void> {
  const prefix = `--conf-file=${root}/`;
  const pids = readdirSync('/proc').filter(
    (name) => /^\d+$/.test(name) && readText(`/proc/${name}/comm`) === 'dnsmasq\n',
  );
  await Promise.all(
    pids.map(async (pid) => {
      const argument = commandLine(Number(pid)).find((word) => word.startsWith(prefix));
      const id = argument?.slice(prefix.length).split('/')[0];
      if (id === undefined) return;
      if (!keep.has(id) || readText(`${root}/${id}/dnsmasq.pid`)?.trim() !== pid) await endProcess(Number(pid));
    }),
  );
  for (const name of readDirectory(root))
    if (!keep.has(name)) rmSync(`${root}/${name}`, { recursive: true, force: true });
}

function readDirectory(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? entry.name : []));
  } catch {
    return [];
  }
}

function commandLine(pid: number): string[] {
  return (readText(`/proc/${pid}/cmdline`) ?? '').split('\0');
}

async function endProcess(pid: number): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const deadline = performance.now() + STOP_LIMIT_MS;
    while (performance.now() < deadline) {
      try {
        process.kill(pid, signal);
      } catch {
        return;
      }
      await sleep(5);
      if (/^State:\s+Z/m.test(readText(`/proc/${pid}/status`) ?? 'State: Z')) return;
    }
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Whatever the umask of the engine: dnsmasq reads as another user. */
function writeReadable(path: string, text: string): void {
  writeFileSync(path, text);
  chmodSync(path, 0o644);
}

function makeReadable(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  chmodSync(directory, 0o755);
  chmodSync(dirname(directory), 0o755);
  chmodSync(dirname(dirname(directory)), 0o755);
}

/** An unprivileged user that can walk to the hosts files; root where a directory above is closed to all others. */
function runAs(path: string): string {
  for (let at = path; at !== '/'; at = dirname(at)) if ((statSync(at).mode & 0o001) === 0) return 'root';
  const accounts = readText('/etc/passwd') ?? '';
  return USERS.find((user) => accounts.includes(`\n${user}:`)) ?? 'root';
}
