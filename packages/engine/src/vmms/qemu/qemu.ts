/** QEMU's `microvm` machine, jailed. It builds the machine it is told and decides nothing. */
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { MNT_DETACH, umount } from '../../host/syscall.ts';
import type { HostPaths } from '../../ports/host.ts';
import type { RootfsStore } from '../../ports/rootfs.ts';
import type { DiskLayout, Machine, Vmm, VmmFacts } from '../../ports/vmm.ts';
import { type Accelerator, baseArguments, commandLine, diskLayout, probeParameters } from './command-line.ts';
import { jailConfig } from './jail.ts';
import { jailRoot, programVersion } from './jail-root.ts';
import { mirrorTap } from './tap.ts';

export interface QemuDeps {
  paths: HostPaths;
  rootfs: RootfsStore;
  cgroupPath: (id: string) => string;
  /** Something to boot for the probe. */
  bootable: () => Promise<{ kernel: string; initrd: string; release: string }>;
}

const PROGRAM = process.arch === 'arm64' ? '/usr/bin/qemu-system-aarch64' : '/usr/bin/qemu-system-x86_64';
/** For a look at a guest that does not come up. */
const CONSOLE_VARIABLE = 'BULKHEAD_GUEST_CONSOLE';
/** A kernel that has not come to its init by then does not run here. */
const PROBE_LIMIT_MS: Record<Accelerator, number> = { kvm: 5_000, tcg: 60_000 };
/** The monitor's own memory beside the guest's: its heap, translated code, page tables. */
const OVERHEAD_BYTES = 320 << 20;
/** One host uid per instance, far from any that the host gives out. */
const FIRST_UID = 600_000_000;
const UIDS = 900_000_000;

export class QemuVmm implements Vmm {
  readonly #deps: QemuDeps;
  #facts: Promise<VmmFacts | { reason: string; fix: string }> | undefined;

  constructor(deps: QemuDeps) {
    this.#deps = deps;
  }

  get #folder(): string {
    return path.join(this.#deps.paths.data, 'vmm');
  }

  fingerprint(): Promise<VmmFacts | { reason: string; fix: string }> {
    this.#facts ??= this.#probe().then((facts) => {
      // A reason may pass (no network for the kernel, say): the next question tries again.
      if ('reason' in facts) this.#facts = undefined;
      return facts;
    });
    return this.#facts;
  }

  async #probe(): Promise<VmmFacts | { reason: string; fix: string }> {
    if (!existsSync(PROGRAM))
      return {
        reason: `${path.basename(PROGRAM)} is not installed`,
        fix: 'apt-get install qemu-system-x86 (`npm run setup` does it)',
      };
    const version = programVersion(PROGRAM);
    const { kernel, initrd, release } = await this.#deps.bootable();
    const cache = path.join(this.#folder, 'probe.json');
    const key = `${version} ${release} ${existsSync('/dev/kvm')}`;
    mkdirSync(this.#folder, { recursive: true, mode: 0o711 });
    try {
      const known = JSON.parse(readFileSync(cache, 'utf8')) as { key: string; accelerator: Accelerator };
      if (known.key === key) return { name: 'qemu', version, accelerator: known.accelerator, machine: 'microvm' };
    } catch {
      // Not probed yet, or a broken file: it is written anew.
    }
    for (const accelerator of ['kvm', 'tcg'] as const) {
      if (accelerator === 'kvm' && !existsSync('/dev/kvm')) continue;
      if (!(await boots(accelerator, kernel, initrd))) continue;
      writeFileSync(cache, JSON.stringify({ key, accelerator }));
      return { name: 'qemu', version, accelerator, machine: 'microvm' };
    }
    return {
      reason: 'QEMU does not boot the guest kernel, neither with KVM nor with TCG',
      fix: 'run `bulkhead doctor`; try another kernel with `npm run guest-kernel`',
    };
  }

  diskLayout(disks: number, shares: number): DiskLayout {
    return diskLayout(disks, shares);
  }

  async prepare(machine: Machine, bundle: string): Promise<{ uid: number }> {
    const facts = await this.fingerprint();
    const accelerator = 'reason' in facts ? 'tcg' : facts.accelerator;
    const idMap = machine.shares.length > 0 ? this.#deps.rootfs.idMap() : undefined;
    const uid = idMap?.hostId ?? FIRST_UID + (Number.parseInt(machine.id.slice(0, 8), 16) % UIDS);
    const agentFolder = path.dirname(machine.agentSocket);
    mkdirSync(agentFolder, { recursive: true, mode: 0o700 });
    chownSync(agentFolder, uid, uid);
    for (const disk of machine.disks) if (!disk.readOnly) chownSync(disk.file, uid, uid);
    const config = jailConfig(machine, {
      root: jailRoot(this.#folder, PROGRAM, programVersion(PROGRAM)),
      args: commandLine(PROGRAM, accelerator, machine, { console: process.env[CONSOLE_VARIABLE] === '1' }),
      uid,
      idMap,
      cgroupsPath: this.#deps.cgroupPath(machine.id),
      memoryLimitBytes: machine.memoryBytes + OVERHEAD_BYTES,
      agentFolder,
      devices: {
        ...(machine.lease ? { tun: this.#deviceNode('tun', 10, 200) } : {}),
        ...(accelerator === 'kvm' ? { kvm: this.#deviceNode('kvm', 10, 232) } : {}),
      },
      shareFolders: new Map(),
    });
    writeFileSync(path.join(bundle, 'config.json'), JSON.stringify(config));
    if (machine.lease) await mirrorTap(machine.lease, uid);
    return { uid };
  }

  /** The host's own node is root's alone; the jail's device cgroup and mount decide who reaches this one. */
  #deviceNode(name: string, major: number, minor: number): string {
    const folder = path.join(this.#folder, 'dev');
    const node = path.join(folder, name);
    mkdirSync(folder, { recursive: true, mode: 0o711 });
    if (!existsSync(node)) {
      execFileSync('mknod', [node, 'c', String(major), String(minor)]);
      chmodSync(node, 0o666);
    }
    return node;
  }

  async cleanUp(_id: string, bundle: string): Promise<void> {
    const shares = path.join(bundle, 'shares');
    if (!existsSync(shares)) return;
    for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n').reverse()) {
      const target = line.split(' ')[1] ?? '';
      if (target.startsWith(`${shares}/`)) umount(target, MNT_DETACH);
    }
  }
}

/** Until the kernel says that it runs its init. `/dev/kvm` may open and still run nothing. */
function boots(accelerator: Accelerator, kernel: string, initrd: string): Promise<boolean> {
  return new Promise((resolve) => {
    const args = [
      ...baseArguments(accelerator, 256 << 20, 1),
      '-kernel',
      kernel,
      '-initrd',
      initrd,
      '-append',
      probeParameters(accelerator),
      '-serial',
      'stdio',
    ];
    // It must end also when the engine is killed meanwhile.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
    let said = '';
    const limit = setTimeout(() => child.kill('SIGKILL'), PROBE_LIMIT_MS[accelerator]);
    child.stdout.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString('latin1')).slice(-65_536);
      if (!said.includes('Run /init as init process')) return;
      resolve(true);
      child.kill('SIGKILL');
    });
    child.on('error', () => resolve(false));
    child.on('close', () => {
      clearTimeout(limit);
      resolve(false);
    });
  });
}
