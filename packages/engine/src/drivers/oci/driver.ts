/** Level `container`: crun, or runc where crun cannot. The task shares the host's kernel and nothing else. */
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { runCommand } from '../../bundle/command.ts';
import { type Runtime, RuntimeDriver } from '../../bundle/runtime-driver.ts';
import type { Fingerprint } from '../../ports/driver.ts';
import { sealRuntime, unsealRuntime } from './sealed-runtime.ts';

const CANDIDATES = ['crun', 'runc'];
/** crun, the one it leaves behind while namespaces are made, and its wrapper. */
const RUNTIME_PROCESSES = 3;
const HOLDS = 'namespaces, user namespace, seccomp, few capabilities, cgroup';

interface Found {
  name: string;
  command: string;
  version: string;
}

export class OciDriver extends RuntimeDriver {
  readonly level = 'container' as const;
  #found: Promise<Found | { reason: string }> | undefined;

  protected async runtime(): Promise<Runtime> {
    const found = await this.#probe();
    const name = 'name' in found ? found.name : 'crun';
    const command = 'command' in found ? found.command : '/usr/bin/crun';
    const state = path.join(this.deps.paths.run, name);
    // With v1 a runtime moves itself through a dozen hierarchies, and the kernel may let it wait in the first. With v2 rules
    // for devices are a program, which is the runtime's matter.
    const ownCgroups = name === 'crun' && this.deps.cgroup.setup.version === 1;
    return {
      command,
      state,
      args: ['--root', state, ...(ownCgroups ? ['--cgroup-manager=disabled'] : [])],
      ownCgroups,
      ownDevices: ownCgroups,
      seccomp: true,
      ...(name === 'crun' ? { compiledFilter: 'seccomp.bpf' } : {}),
      pidsHeadroom: 0,
      startHeadroom: RUNTIME_PROCESSES,
      coversTmp: false,
      standby: true,
      forgettable: true,
      hidesKill: false,
      terminalFlags: ['--tty'],
      execsInSilence: false,
    };
  }

  #sealedFolder(): string {
    return path.join(this.deps.paths.run, 'bin');
  }

  /** Nothing of this engine runs any more. */
  purge(): void {
    for (const name of CANDIDATES) unsealRuntime(path.join(this.#sealedFolder(), name));
  }

  #probe(): Promise<Found | { reason: string }> {
    this.#found ??= this.#look();
    return this.#found;
  }

  /** The first that really makes a container here. */
  async #look(): Promise<Found | { reason: string }> {
    const reasons: string[] = [];
    for (const name of CANDIDATES) {
      const command = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin']
        .map((folder) => path.join(folder, name))
        .find(existsSync);
      if (command === undefined) {
        reasons.push(`${name} is not installed`);
        continue;
      }
      const done = await this.#tryOut(command, name);
      if (done === undefined)
        return {
          name,
          command: sealRuntime(command, this.#sealedFolder()),
          version: (await runCommand(command, ['--version'])).stdout.split('\n')[0] ?? name,
        };
      reasons.push(`${name}: ${done}`);
    }
    return { reason: reasons.join('; ') };
  }

  /** Undefined when it works, else the runtime's words. */
  async #tryOut(command: string, name: string): Promise<string | undefined> {
    mkdirSync(this.deps.paths.run, { recursive: true, mode: 0o711 });
    const bundle = mkdtempSync(path.join(this.deps.paths.run, 'probe-'));
    const id = `probe-${this.deps.paths.tag}-${process.pid}-${name}`;
    try {
      for (const folder of ['bin', 'dev', 'proc']) mkdirSync(path.join(bundle, 'root', folder), { recursive: true });
      writeFileSync(
        path.join(bundle, 'config.json'),
        JSON.stringify({
          ociVersion: '1.0.0',
          process: {
            user: { uid: 0, gid: 0 },
            args: ['/bin/busybox', 'true'],
            cwd: '/',
            env: [],
            noNewPrivileges: true,
          },
          root: { path: path.join(bundle, 'root'), readonly: true },
          mounts: [
            { destination: '/proc', type: 'proc', source: 'proc' },
            {
              destination: '/bin',
              type: 'bind',
              source: path.dirname(realpathSync('/bin/busybox')),
              options: ['bind', 'ro'],
            },
          ],
          linux: {
            namespaces: ['mount', 'pid', 'ipc', 'uts', 'network'].map((type) => ({ type })),
            cgroupsPath: this.deps.cgroup.pathOf(id),
          },
        }),
      );
      const done = await runCommand(
        command,
        ['--root', path.join(bundle, 'state'), 'run', '--bundle', bundle, id],
        10_000,
      );
      return done.code === 0 ? undefined : done.stderr.trim().split('\n').at(-1);
    } finally {
      await this.deps.cgroup.remove(id);
      rmSync(bundle, { recursive: true, force: true });
    }
  }

  async fingerprint(): Promise<Fingerprint> {
    const found = await this.#probe();
    if ('reason' in found)
      return {
        level: this.level,
        available: false,
        holds: HOLDS,
        reason: found.reason,
        fix: 'apt-get install crun runc; see the cgroup line of `bulkhead doctor`',
        detail: {},
      };
    const map = this.deps.rootfs.idMap();
    return {
      level: this.level,
      available: true,
      holds: map ? HOLDS : HOLDS.replace('user namespace, ', ''),
      detail: { runtime: found.version, userNamespace: map ? `${map.hostId}:${map.count}` : 'not on this kernel' },
    };
  }

  protected async facts(): Promise<Record<string, string>> {
    const found = await this.#probe();
    const map = this.deps.rootfs.idMap();
    return {
      runtime: 'name' in found ? found.version : 'none',
      userNamespace: map ? `root is host id ${map.hostId}` : 'none',
    };
  }
}
