/** Level `gvisor`: the same bundle under runsc. The task talks to a kernel in user space, never to the host's. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { runCommand } from '../../bundle/command.ts';
import { type Runtime, RuntimeDriver } from '../../bundle/runtime-driver.ts';
import type { Fingerprint } from '../../ports/driver.ts';

const HOLDS = 'a kernel in user space (runsc), seccomp, user namespace, cgroup';
/** Strongest first of what runs without special hardware; ptrace is all that old releases have. */
const PLATFORMS = ['systrap', 'ptrace'];
/** Its own network stack first; the host's, inside the instance's own netns, where the kernel refuses that. */
const NETWORKS = ['sandbox', 'host'];
const PROBE_LIMIT_MS = 10_000;
/** Threads of the sentry and the gofer that share the cgroup with the task's. */
const SENTRY_THREADS = 100;

interface Mode {
  platform: string;
  network: string;
  version: string;
}

export class GvisorDriver extends RuntimeDriver {
  readonly level = 'gvisor' as const;
  #mode: Promise<Mode | { reason: string }> | undefined;

  #flags(mode: { platform: string; network: string }, state: string): string[] {
    return [
      '--root',
      state,
      `--platform=${mode.platform}`,
      `--network=${mode.network}`,
      '--ignore-cgroups',
      '--overlay2=none',
      '--host-uds=none',
    ];
  }

  protected async runtime(): Promise<Runtime> {
    const mode = await this.#probe();
    const known = 'platform' in mode ? mode : { platform: 'systrap', network: 'host' };
    const state = await this.stateFolder();
    return {
      command: this.#command() ?? '/usr/bin/runsc',
      state,
      args: this.#flags(known, state),
      ownCgroups: true,
      ownDevices: false,
      seccomp: false,
      pidsHeadroom: SENTRY_THREADS,
      startHeadroom: SENTRY_THREADS,
      coversTmp: true,
      standby: false,
      forgettable: false,
      hidesKill: true,
      terminalFlags: [],
      execsInSilence: true,
    };
  }

  /** Recovery asks, and must not wait for the probe. */
  protected override async stateFolder(): Promise<string> {
    return path.join(this.deps.paths.run, 'runsc');
  }

  #command(): string | undefined {
    return ['/usr/bin/runsc', '/usr/local/bin/runsc'].find(existsSync);
  }

  #probe(): Promise<Mode | { reason: string }> {
    this.#mode ??= this.#look();
    return this.#mode;
  }

  async #look(): Promise<Mode | { reason: string }> {
    const command = this.#command();
    if (command === undefined) return { reason: 'runsc is not installed' };
    const version = (await runCommand(command, ['--version'])).stdout.split('\n')[0] ?? 'runsc';
    let words = '';
    for (const platform of PLATFORMS) {
      for (const network of NETWORKS) {
        const failed = await this.#tryOut(command, { platform, network });
        if (failed === undefined) return { platform, network, version };
        words = failed;
      }
    }
    return { reason: `runsc cannot run here: ${words}` };
  }

  /** Undefined when a container with a network namespace of its own really runs. */
  async #tryOut(command: string, mode: { platform: string; network: string }): Promise<string | undefined> {
    mkdirSync(this.deps.paths.run, { recursive: true });
    const bundle = mkdtempSync(path.join(this.deps.paths.run, 'probe-'));
    try {
      mkdirSync(path.join(bundle, 'root'));
      writeFileSync(
        path.join(bundle, 'config.json'),
        JSON.stringify({
          ociVersion: '1.0.0',
          process: { user: { uid: 0, gid: 0 }, args: ['/busybox', 'true'], cwd: '/', env: [] },
          root: { path: path.join(bundle, 'root'), readonly: true },
          mounts: [{ destination: '/busybox', type: 'bind', source: '/bin/busybox', options: ['bind', 'ro'] }],
          linux: { namespaces: ['mount', 'pid', 'ipc', 'uts', 'network'].map((type) => ({ type })) },
        }),
      );
      writeFileSync(path.join(bundle, 'root', 'busybox'), '');
      const flags = this.#flags(mode, path.join(bundle, 'state'));
      const done = await runCommand(command, [...flags, 'run', '--bundle', bundle, 'probe'], PROBE_LIMIT_MS);
      if (done.code !== 0) await runCommand(command, [...flags, 'delete', '--force', 'probe'], PROBE_LIMIT_MS);
      return done.code === 0 ? undefined : (done.stderr.trim().split('\n').at(-1) ?? 'it said nothing').slice(0, 300);
    } finally {
      rmSync(bundle, { recursive: true, force: true });
    }
  }

  async fingerprint(): Promise<Fingerprint> {
    const mode = await this.#probe();
    if ('reason' in mode)
      return {
        level: this.level,
        available: false,
        holds: HOLDS,
        reason: mode.reason,
        fix: 'install runsc (Debian 12: from bookworm-backports; `npm run setup` does it)',
        detail: {},
      };
    return {
      level: this.level,
      available: true,
      holds: HOLDS,
      detail: { platform: mode.platform, network: mode.network, runtime: mode.version },
    };
  }

  protected async facts(): Promise<Record<string, string>> {
    const mode = await this.#probe();
    return 'reason' in mode
      ? {}
      : {
          platform: mode.platform,
          network:
            mode.network === 'host' ? "host stack inside the instance's own network namespace" : 'own network stack',
          runtime: mode.version,
        };
  }
}
