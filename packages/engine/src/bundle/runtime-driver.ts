/** What the levels that run an OCI bundle have in common: start, exec, files, limits and clean-up. A level adds its runtime. */
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract';
import type { Level } from '../domain/level.ts';
import type { Limits, TaskSpec } from '../domain/task.ts';
import { busyboxProcess } from '../ports/busybox.ts';
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
import { FILE_CAPABILITIES, readThroughTar, writeThroughTar } from './archive.ts';
import { runCommand } from './command.ts';
import { Execs } from './execs.ts';
import { unmappedFact } from './host-owners.ts';
import { ensureWorkingDirectory, InstanceBundles } from './instance-bundle.ts';
import { type Handle, joinedCgroups, LOG_BACKSTOP, type Runtime, type RuntimeDeps } from './runtime.ts';
import { StandbyInstances } from './standby-instances.ts';
import { StoppedFiles } from './stopped-files.ts';
import { resolveUser } from './user.ts';

export type { Runtime, RuntimeDeps } from './runtime.ts';

const KILLED = 137;
const INSTANCE_ID = /^[0-9a-f]{32}/;

export abstract class RuntimeDriver implements Driver {
  abstract readonly level: Level;
  protected readonly deps: RuntimeDeps;
  readonly #bundles: InstanceBundles;
  readonly #stopped: StoppedFiles;
  readonly #standby: StandbyInstances;
  readonly #execs: Execs;

  constructor(deps: RuntimeDeps) {
    this.deps = deps;
    this.#bundles = new InstanceBundles(deps);
    this.#stopped = new StoppedFiles(deps, this.#bundles);
    this.#execs = new Execs(deps, this.#bundles);
    this.#standby = new StandbyInstances(deps, (id) => this.destroy(id));
  }

  abstract fingerprint(): Promise<Fingerprint>;
  protected abstract runtime(): Promise<Runtime>;
  /** What `inspect` shows of the level. */
  protected abstract facts(): Promise<Record<string, string>>;

  bundleOf(id: string): string {
    return this.#bundles.folderOf(id);
  }

  standbyId(task: TaskSpec): string | undefined {
    return this.#standby.take(task);
  }

  close(): Promise<void> {
    return this.deps.supervisor.standby.close();
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
    cgroup.anticipate();
    const runtime = await this.runtime();
    const root = await rootfs.mount(plan.id, plan.layers, plan.limits.diskBytes);
    await ensureWorkingDirectory(rootfs, root, plan);
    const identity = await resolveUser(rootfs, root, plan.process.user, plan.process.groupAdd);
    const folder = this.bundleOf(plan.id);
    const { rlimits, lowered, unmapped, newRules } = this.#bundles.write(plan, { folder, root, identity, runtime });
    await this.#networkSysctls(plan);
    const { pid } = await supervisor.start({
      id: plan.id,
      bundle: folder,
      runtime: runtime.command,
      runtimeArgs: runtime.args,
      joinCgroups: joinedCgroups(cgroup, runtime, plan.id, whileStarting(plan.limits, runtime)),
      tty: plan.process.tty,
      stdin: plan.process.stdin,
      logPath: plan.logPath,
      logMaxBytes: plan.logMaxBytes * LOG_BACKSTOP,
    });
    if (runtime.ownCgroups) cgroup.limit(plan.id, withHeadroom(plan.limits, runtime.pidsHeadroom));
    this.#bundles.keepFilter(plan.id, newRules, runtime);
    this.#standby.refill(runtime, plan);
    const handle: Handle = {
      version: 1,
      pid,
      tty: plan.process.tty,
      capabilities: plan.capabilities,
      ...(rlimits && rlimits.length > 0 ? { rlimits } : {}),
      ...(lowered && lowered.length > 0 ? { lowered } : {}),
      ...(unmapped && unmapped.length > 0 ? { unmapped } : {}),
      ...(plan.lease ? { lease: plan.lease } : {}),
    };
    return JSON.stringify(handle);
  }

  /** The network namespace belongs to the host's user namespace, so its settings are written from outside. */
  async #networkSysctls(plan: StartPlan): Promise<void> {
    const wanted = Object.entries(plan.sysctls).filter(([name]) => name.startsWith('net.'));
    if (wanted.length === 0 || !plan.lease) return;
    const assignments = wanted.map(([name, value]) => `${name}=${value}`);
    const done = await runCommand('nsenter', [`--net=${plan.lease.netnsPath}`, 'sysctl', '-q', '-w', ...assignments]);
    if (done.code !== 0) throw new BulkheadError('invalid_limit', `a sysctl was refused: ${done.stderr.trim()}`);
  }

  async recover(id: string): Promise<RecoveredState> {
    if ((await this.deps.supervisor.exited(id)) !== undefined) return 'exited';
    return (await this.deps.supervisor.alive(id)) ? 'running' : 'lost';
  }

  async wait(id: string): Promise<Exit> {
    const exit = await this.deps.supervisor.wait(id);
    const oomKilled = exit.oomKilled || this.deps.cgroup.oomKills(id) > 0;
    const { hidesKill } = await this.runtime();
    return { ...exit, oomKilled, ...(oomKilled && hidesKill && exit.code !== 0 ? { code: KILLED } : {}) };
  }

  async signal(id: string, handle: string, signal: number): Promise<void> {
    const runtime = await this.runtime();
    const done = await runCommand(runtime.command, [...runtime.args, 'kill', id, String(signal)]);
    if (done.code === 0) return;
    // The runtime's own state may be damaged; its process is known, and in its group for as long as it lives.
    const { pid } = JSON.parse(handle) as Handle;
    if (this.deps.cgroup.pids(id).includes(pid)) process.kill(pid, signal);
  }

  async exec(id: string, handle: string, spec: ProcessSpec): Promise<Session> {
    return this.#execs.run(id, JSON.parse(handle) as Handle, spec, await this.runtime());
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
    this.deps.cgroup.limit(id, withHeadroom(limits, (await this.runtime()).pidsHeadroom));
  }

  async inspect(_id: string, handle: string | undefined): Promise<Record<string, string>> {
    const { lowered = [], unmapped } = handle === undefined ? {} : (JSON.parse(handle) as Handle);
    return {
      ...(await this.facts()),
      ...(lowered.length > 0 ? { ulimitsLowered: lowered.join(', ') } : {}),
      ...unmappedFact(unmapped),
    };
  }

  async readArchive(plan: StartPlan, handle: string | undefined, source: string): Promise<Readable> {
    return readThroughTar(await this.#tarRunner(plan, handle), source);
  }

  async writeArchive(plan: StartPlan, handle: string | undefined, directory: string, tar: Readable): Promise<void> {
    await writeThroughTar(await this.#tarRunner(plan, handle), directory, tar);
  }

  /** Runs busybox inside the instance's own view, so that no link of the task's can lead out of it. */
  async #tarRunner(plan: StartPlan, handle: string | undefined): Promise<(args: string[]) => Promise<Session>> {
    const { supervisor } = this.deps;
    const running =
      handle !== undefined && (await supervisor.alive(plan.id)) && (await supervisor.exited(plan.id)) === undefined;
    if (running) {
      const able = JSON.stringify({ ...(JSON.parse(handle) as Handle), capabilities: FILE_CAPABILITIES, rlimits: [] });
      return (args) => this.exec(plan.id, able, busyboxProcess(args, { stdin: true }));
    }
    const runtime = await this.runtime();
    return (args) => this.#stopped.run(plan, runtime, args, () => this.#deleteState(plan.id, runtime));
  }

  async release(id: string): Promise<void> {
    const { rootfs, supervisor, cgroup } = this.deps;
    await this.#deleteState(id, await this.runtime());
    await supervisor.forget(id);
    await cgroup.remove(id);
    await rootfs.unmount(id);
    // The last to go: as long as it is there, recovery finds the instance.
    rmSync(this.bundleOf(id), { recursive: true, force: true });
  }

  /** What the runtime remembers of an ended run would refuse the next. */
  async #deleteState(id: string, runtime: Runtime): Promise<void> {
    if (runtime.forgettable) {
      // Its process is gone, or goes with the cgroup.
      rmSync(path.join(runtime.state, id), { recursive: true, force: true });
      return;
    }
    // runsc keeps files that begin with the id.
    if (existsSync(runtime.state) && readdirSync(runtime.state).some((name) => name.startsWith(id)))
      await runCommand(runtime.command, [...runtime.args, 'delete', '--force', id]);
  }

  async destroy(id: string): Promise<void> {
    await this.release(id);
    await this.deps.rootfs.discard(id);
  }

  /** Where {@link runtime} keeps its state; to be known sooner where that has to be found out first. */
  protected async stateFolder(): Promise<string> {
    return (await this.runtime()).state;
  }

  async leftovers(): Promise<string[]> {
    const folders = [path.join(this.deps.paths.run, 'instances'), await this.stateFolder()].filter(
      (folder) => statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true,
    );
    const named = folders.flatMap((folder) => readdirSync(folder)).flatMap((name) => INSTANCE_ID.exec(name)?.[0] ?? []);
    return [...new Set([...named, ...this.deps.cgroup.list(), ...(await this.deps.rootfs.leftovers())])];
  }
}

/** What would hold up the runtime itself comes into force once it has started the task. */
function whileStarting({ cpus: _cpus, ...limits }: Limits, { startHeadroom }: Runtime): Limits {
  return withHeadroom(limits, startHeadroom);
}

function withHeadroom(limits: Limits, processes: number): Limits {
  return limits.pids && limits.pids > 0 ? { ...limits, pids: limits.pids + processes } : limits;
}
