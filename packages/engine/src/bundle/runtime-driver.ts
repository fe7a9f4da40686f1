/** What the levels that run an OCI bundle have in common: start, exec, files, limits and clean-up. A level adds its runtime. */

import { chownSync, existsSync, lstatSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract';
import type { Lease } from '../domain/instance.ts';
import type { Level } from '../domain/level.ts';
import type { Limits } from '../domain/task.ts';
import type { Cgroups } from '../host/cgroup.ts';
import type {
  Attachment,
  Driver,
  Exit,
  Fingerprint,
  ProcessSpec,
  RecoveredState,
  Session,
  StartPlan,
  Stats,
} from '../ports/driver.ts';
import type { HostPaths } from '../ports/host.ts';
import type { RootfsStore } from '../ports/rootfs.ts';
import type { Supervisor } from '../ports/supervisor.ts';
import { readThroughTar, writeThroughTar } from './archive.ts';
import { runCommand } from './command.ts';
import { bundleConfig, processConfig } from './config.ts';
import type { BundleFacts } from './facts.ts';
import { pipeSession, terminalSession } from './session.ts';
import { resolveUser } from './user.ts';

export interface RuntimeDeps {
  paths: HostPaths;
  rootfs: RootfsStore;
  supervisor: Supervisor;
  cgroup: Cgroups;
  counters: (lease: Lease) => Promise<{ receivedBytes: number; sentBytes: number }>;
}

/** What a level's runtime is called with. */
export interface Runtime {
  command: string;
  /** Global arguments, before the verb. */
  args: string[];
  /** The runtime leaves cgroups alone: the engine makes them and puts it in. */
  ownCgroups: boolean;
  seccomp: boolean;
  /** How much more than the task's own processes the pids limit has to hold. */
  pidsHeadroom: number;
  /** The runtime puts a tmpfs over an empty /tmp unless something is mounted there. */
  coversTmp: boolean;
}

interface Handle {
  version: 1;
  pid: number;
  tty: boolean;
  lease?: Lease;
  capabilities: string[];
  oomKills: number;
}

const INIT_PATH = '/usr/bin/catatonit';
const BUSYBOX_PATH = '/bin/busybox';
/** conmon's own limit is a backstop for the time when no engine rotates. */
const LOG_BACKSTOP = 4;

export abstract class RuntimeDriver implements Driver {
  abstract readonly level: Level;
  protected readonly deps: RuntimeDeps;
  #execs = 0;

  constructor(deps: RuntimeDeps) {
    this.deps = deps;
  }

  abstract fingerprint(): Promise<Fingerprint>;
  abstract inspect(id: string, handle: string | undefined): Promise<Record<string, string>>;
  protected abstract runtime(): Promise<Runtime>;

  bundleOf(id: string): string {
    return path.join(this.deps.paths.run, 'instances', id);
  }

  #rootOf(id: string): string {
    return path.join(this.bundleOf(id), 'rootfs');
  }

  async start(plan: StartPlan): Promise<string> {
    try {
      return await this.#start(plan);
    } catch (error) {
      await this.release(plan.id);
      throw error;
    }
  }

  async #start(plan: StartPlan): Promise<string> {
    const { rootfs, supervisor, cgroup } = this.deps;
    const runtime = await this.runtime();
    const root = await rootfs.mount(plan.id, plan.layers);
    if (plan.process.cwd.startsWith('/proc'))
      throw new BulkheadError('start_failed', `the working directory ${plan.process.cwd} is not a place of the image`);
    const bundle = this.bundleOf(plan.id);
    const identity = await resolveUser(rootfs, root, plan.process.user, plan.process.groupAdd);
    const files = this.#writeFiles(plan, bundle);
    const facts: BundleFacts = {
      root,
      idMap: rootfs.idMap(),
      cgroupsPath: runtime.ownCgroups ? undefined : cgroup.pathOf(plan.id),
      files,
      identity,
      initPath: INIT_PATH,
      busyboxPath: BUSYBOX_PATH,
      hardNofile: 1_048_576,
      seccomp: runtime.seccomp,
      ...tmpOf(root, runtime, plan.readOnlyRoot),
    };
    writeFileSync(path.join(bundle, 'config.json'), JSON.stringify(bundleConfig(plan, facts)));
    await this.#networkSysctls(plan);
    const limits = {
      ...plan.limits,
      ...(plan.limits.pids && plan.limits.pids > 0 ? { pids: plan.limits.pids + runtime.pidsHeadroom } : {}),
    };
    const { pid } = await supervisor.start({
      id: plan.id,
      bundle,
      runtime: runtime.command,
      runtimeArgs: runtime.args,
      joinCgroups: runtime.ownCgroups ? cgroup.create(plan.id, limits) : [],
      tty: plan.process.tty,
      stdin: plan.process.stdin,
      logPath: plan.logPath,
      logMaxBytes: plan.logMaxBytes * LOG_BACKSTOP,
    });
    const handle: Handle = {
      version: 1,
      pid,
      tty: plan.process.tty,
      capabilities: plan.capabilities,
      oomKills: 0,
      ...(plan.lease ? { lease: plan.lease } : {}),
    };
    return JSON.stringify(handle);
  }

  #writeFiles(plan: StartPlan, bundle: string): BundleFacts['files'] {
    const owner = this.deps.rootfs.idMap()?.hostId ?? 0;
    const write = (name: string, content: string): string => {
      const file = path.join(bundle, name);
      writeFileSync(file, content, { mode: 0o644 });
      if (owner !== 0) chownSync(file, owner, owner);
      return file;
    };
    mkdirSync(path.dirname(plan.logPath), { recursive: true });
    return {
      hosts: write('hosts', plan.hostsFile),
      resolvConf: write('resolv.conf', plan.resolvConf),
      hostname: write('hostname', `${plan.hostname}\n`),
    };
  }

  async #networkSysctls(plan: StartPlan): Promise<void> {
    const wanted = Object.entries(plan.sysctls).filter(([name]) => name.startsWith('net.'));
    if (wanted.length === 0 || !plan.lease) return;
    const done = await runCommand('nsenter', [
      `--net=${plan.lease.netnsPath}`,
      'sysctl',
      '-q',
      '-w',
      ...wanted.map(([name, value]) => `${name}=${value}`),
    ]);
    if (done.code !== 0) throw new BulkheadError('invalid_limit', `a sysctl was refused: ${done.stderr.trim()}`);
  }

  async recover(id: string): Promise<RecoveredState> {
    if ((await this.deps.supervisor.exited(id)) !== undefined) return 'exited';
    return (await this.deps.supervisor.alive(id)) ? 'running' : 'lost';
  }

  async wait(id: string): Promise<Exit> {
    const exit = await this.deps.supervisor.wait(id);
    const oomKilled = exit.oomKilled || (exit.code !== 0 && this.deps.cgroup.oomKills(id) > 0);
    // A sandbox that lost its kernel in user space ends with a code of the runtime's own; the task was killed all the same.
    return { ...exit, oomKilled, ...(oomKilled && exit.code !== 0 ? { code: 137 } : {}) };
  }

  async signal(id: string, handle: string, signal: number): Promise<void> {
    const runtime = await this.runtime();
    const done = await runCommand(runtime.command, [...runtime.args, 'kill', id, String(signal)]);
    if (done.code === 0) return;
    if ((await this.deps.supervisor.exited(id)) !== undefined) return;
    // The runtime's own state may be damaged; its process is known.
    const { pid } = JSON.parse(handle) as Handle;
    try {
      process.kill(pid, signal);
    } catch {
      // It is gone, which is what most signals are sent for.
    }
  }

  async exec(id: string, handle: string, spec: ProcessSpec): Promise<Session> {
    const { capabilities } = JSON.parse(handle) as Handle;
    const identity = await resolveUser(this.deps.rootfs, this.#rootOf(id), spec.user, spec.groupAdd);
    const runtime = await this.runtime();
    const file = path.join(this.bundleOf(id), `exec-${process.pid}-${this.#execs++}.json`);
    writeFileSync(file, JSON.stringify(processConfig(spec, identity, capabilities, [])));
    const command = {
      command: runtime.command,
      args: [...runtime.args, 'exec', '--process', file, ...(spec.tty ? this.terminalFlags() : []), id],
      tty: spec.tty,
      stdin: spec.stdin,
      done: () => rmSync(file, { force: true }),
    };
    return telling(await (spec.tty ? terminalSession(command) : pipeSession(command)));
  }

  /** Flags of the runtime's exec for a terminal, beside what the process file says. */
  protected terminalFlags(): string[] {
    return [];
  }

  async attach(id: string): Promise<Attachment> {
    const { supervisor } = this.deps;
    const stdin = await supervisor.attachStdin(id);
    return {
      stdin,
      resize: (columns, rows) => void supervisor.resize(id, columns, rows).catch(() => {}),
      close: () => stdin.destroy(),
    };
  }

  async stats(id: string, handle: string): Promise<Stats> {
    const { lease } = JSON.parse(handle) as Handle;
    const network = lease ? await this.deps.counters(lease) : { receivedBytes: 0, sentBytes: 0 };
    return {
      at: Date.now(),
      ...this.deps.cgroup.usage(id),
      networkReceivedBytes: network.receivedBytes,
      networkSentBytes: network.sentBytes,
    };
  }

  async update(id: string, _handle: string, limits: Limits): Promise<void> {
    const { pidsHeadroom } = await this.runtime();
    this.deps.cgroup.limit(
      id,
      limits.pids && limits.pids > 0 ? { ...limits, pids: limits.pids + pidsHeadroom } : limits,
    );
  }

  async readArchive(plan: StartPlan, handle: string | undefined, source: string): Promise<Readable> {
    return readThroughTar(await this.#tarRunner(plan, handle), source);
  }

  async writeArchive(plan: StartPlan, handle: string | undefined, directory: string, tar: Readable): Promise<void> {
    await writeThroughTar(await this.#tarRunner(plan, handle), directory, tar);
  }

  /** Runs busybox inside the instance's own view, so that no link of the task's can lead out of it. */
  async #tarRunner(plan: StartPlan, handle: string | undefined): Promise<(args: string[]) => Promise<Session>> {
    const spec = (args: string[]): ProcessSpec => ({
      args: ['/.bulkhead/busybox', ...args],
      env: ['PATH=/bin'],
      cwd: '/',
      user: '0:0',
      groupAdd: [],
      tty: false,
      stdin: true,
    });
    if (
      handle !== undefined &&
      (await this.deps.supervisor.alive(plan.id)) &&
      (await this.deps.supervisor.exited(plan.id)) === undefined
    ) {
      // Reading everything and keeping ownership needs more than a task may have; it stays inside its user namespace.
      const helper = JSON.stringify({ ...(JSON.parse(handle) as Handle), capabilities: FILE_CAPABILITIES });
      return (args) => this.exec(plan.id, helper, spec(args));
    }
    return (args) => this.#helper(plan, spec(args));
  }

  /** A short run on the root of a stopped instance, without network and outside of its supervisor. */
  async #helper(plan: StartPlan, spec: ProcessSpec): Promise<Session> {
    const runtime = await this.runtime();
    await this.#deleteState(plan.id, runtime);
    const root = await this.deps.rootfs.mount(plan.id, plan.layers);
    const bundle = path.join(this.bundleOf(plan.id), 'helper');
    mkdirSync(bundle, { recursive: true });
    const identity = { uid: 0, gid: 0, additionalGids: [], home: '/' };
    const { lease: _lease, ...rest } = plan;
    const helperPlan: StartPlan = {
      ...rest,
      process: spec,
      capabilities: FILE_CAPABILITIES,
      init: false,
      readOnlyRoot: false,
      limits: {},
    };
    const files = this.#writeFiles(plan, bundle);
    const facts: BundleFacts = {
      root,
      idMap: this.deps.rootfs.idMap(),
      cgroupsPath: runtime.ownCgroups ? undefined : this.deps.cgroup.pathOf(plan.id),
      files,
      identity,
      initPath: INIT_PATH,
      busyboxPath: BUSYBOX_PATH,
      hardNofile: 1_048_576,
      seccomp: runtime.seccomp,
      ...tmpOf(root, runtime, plan.readOnlyRoot),
    };
    writeFileSync(path.join(bundle, 'config.json'), JSON.stringify(bundleConfig(helperPlan, facts)));
    const done = (): void => {
      void this.deps.rootfs
        .unmount(plan.id)
        .then(() => rmSync(this.bundleOf(plan.id), { recursive: true, force: true }));
    };
    return pipeSession({
      command: runtime.command,
      args: [...runtime.args, 'run', '--bundle', bundle, plan.id],
      tty: false,
      stdin: true,
      done,
    });
  }

  async release(id: string): Promise<void> {
    const { rootfs, supervisor, cgroup } = this.deps;
    const runtime = await this.runtime();
    await this.#deleteState(id, runtime);
    await supervisor.forget(id);
    await cgroup.remove(id);
    await rootfs.unmount(id);
    rmSync(this.bundleOf(id), { recursive: true, force: true });
  }

  /** What the runtime remembers of an ended run would refuse the next. */
  async #deleteState(id: string, runtime: Runtime): Promise<void> {
    // crun keeps a folder of the id, runsc files that begin with it.
    const state = this.#stateOf(runtime);
    if (existsSync(state) && readdirSync(state).some((name) => name.startsWith(id)))
      await runCommand(runtime.command, [...runtime.args, 'delete', '--force', id]);
  }

  /** The runtime's own state directory, named after `--root`. */
  #stateOf(runtime: Runtime): string {
    return runtime.args[runtime.args.indexOf('--root') + 1] ?? '/run';
  }

  async destroy(id: string): Promise<void> {
    await this.release(id);
    await this.deps.rootfs.discard(id);
  }

  async leftovers(): Promise<string[]> {
    const bundles = path.join(this.deps.paths.run, 'instances');
    const found = existsSync(bundles)
      ? readdirSync(bundles).filter(
          (name) => /^[0-9a-f]{32}$/.test(name) && statSync(path.join(bundles, name)).isDirectory(),
        )
      : [];
    return [...new Set([...found, ...this.deps.cgroup.list(), ...(await this.deps.rootfs.leftovers())])];
  }
}

/** Not where it is a link, which could lead anywhere; a read-only root keeps the runtime's own tmpfs. */
function tmpOf(root: string, runtime: Runtime, readOnlyRoot: boolean): { tmpSource?: string } {
  const tmp = path.join(root, 'tmp');
  return runtime.coversTmp && !readOnlyRoot && lstatSync(tmp, { throwIfNoEntry: false })?.isDirectory()
    ? { tmpSource: tmp }
    : {};
}

/** The codes runtimes end with when they could not exec at all. */
const RUNTIME_FAILED = new Set([1, 125, 126, 127, 128, 255]);

/** A runtime that could not exec says so in words; a shell's codes are what scripts expect. */
function telling(session: Session): Session {
  let words = '';
  const listen = (chunk: Buffer): void => {
    if (words.length < 2048) words += chunk.toString('latin1');
  };
  const stderr = new PassThrough();
  session.stderr.on('data', listen);
  session.stderr.pipe(stderr);
  const exit = session.exit.then((code) => {
    if (!RUNTIME_FAILED.has(code) || words === '') return code;
    if (
      /executable file .* not found|no such file or directory|failed to find/i.test(words) &&
      /exec|starting|load/i.test(words)
    )
      return 127;
    return /exec.*permission denied|open executable|exec format error/i.test(words) ? 126 : code;
  });
  return { ...session, stderr, exit };
}

const FILE_CAPABILITIES = ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER', 'CAP_FSETID', 'CAP_MKNOD', 'CAP_SETFCAP'];
