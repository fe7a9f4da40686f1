/** Level `microvm`: the task runs on a kernel of its own, on virtual hardware. The monitor is a bundle like any other. */
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract';
import { FILE_CAPABILITIES, readThroughTar, writeThroughTar } from '../../bundle/archive.ts';
import { runCommand } from '../../bundle/command.ts';
import { unmappedFact, withHostOwners } from '../../bundle/host-owners.ts';
import type { Lease } from '../../domain/instance.ts';
import type { Limits } from '../../domain/task.ts';
import type { Cgroups } from '../../host/cgroup.ts';
import { ext4Image } from '../../host/ext4-image.ts';
import { busyboxProcess } from '../../ports/busybox.ts';
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
} from '../../ports/driver.ts';
import type { HostPaths } from '../../ports/host.ts';
import type { RootfsStore } from '../../ports/rootfs.ts';
import type { Supervisor } from '../../ports/supervisor.ts';
import type { KernelSource, Machine, Vmm } from '../../ports/vmm.ts';
import type { GuestChannel } from './channel.ts';
import { keepExit, keptExit } from './exit-record.ts';
import { configurationOf, guestProcess, sharesOf } from './guest-configuration.ts';
import { GuestLines } from './guest-lines.ts';
import { type InitrdParts, initrd } from './initrd.ts';

export interface MicrovmDeps {
  paths: HostPaths;
  rootfs: RootfsStore;
  supervisor: Supervisor;
  cgroup: Cgroups;
  vmm: Vmm;
  kernels: KernelSource;
  guest: InitrdParts;
  counters: (lease: Lease) => Promise<{ receivedBytes: number; sentBytes: number }>;
}

interface Handle {
  version: 1;
  uid: number;
  kernel: string;
  memoryBytes: number;
  capabilities: string[];
  /** Targets of binds whose owners could not be mapped. */
  unmapped?: string[];
  lease?: Lease;
}

const HOLDS = 'its own kernel on virtual hardware; the VMM jailed: own uid, no capability, seccomp, cgroup';
const DEFAULT_MEMORY_BYTES = 256 << 20;
const DEFAULT_DISK_BYTES = 10 * 2 ** 30;
const MIN_MEMORY_BYTES = 96 << 20;
const BOOT_LIMIT_MS = 60_000;
/** A channel that is lost although the machine lives is opened again so often. */
const MAX_RECONNECTS = 3;
/** From the acknowledged exit to the monitor's end; after that it is killed. */
const POWER_OFF_LIMIT_MS = 3_000;
const SIGKILL = 9;
/** A guest that does not even obey SIGKILL is switched off. */
const OBEY_LIMIT_MS = 5_000;

export class MicrovmDriver implements Driver {
  readonly level = 'microvm' as const;
  readonly #deps: MicrovmDeps;
  readonly #lines: GuestLines;

  constructor(deps: MicrovmDeps) {
    this.#deps = deps;
    this.#lines = new GuestLines({ supervisor: deps.supervisor, socketOf: (id) => this.#agentSocket(id) });
  }

  async fingerprint(): Promise<Fingerprint> {
    const level = this.level;
    try {
      const facts = await this.#deps.vmm.fingerprint();
      if ('reason' in facts)
        return { level, available: false, holds: HOLDS, reason: facts.reason, fix: facts.fix, detail: {} };
      const kernel = await this.#deps.kernels.get({ shares: false });
      return {
        level,
        available: true,
        holds: HOLDS,
        detail: {
          vmm: `${facts.name} ${facts.version}`,
          accelerator: facts.accelerator,
          machine: facts.machine,
          kernel: `${kernel.release} (${kernel.flavour})`,
        },
      };
    } catch (error) {
      const known = error instanceof BulkheadError;
      return {
        level,
        available: false,
        holds: HOLDS,
        reason: (error as Error).message,
        fix: known ? error.hint : 'see the engine’s log',
        detail: {},
      };
    }
  }

  #bundle(id: string): string {
    return path.join(this.#deps.paths.run, 'instances', id);
  }

  #agentSocket(id: string): string {
    return path.join(this.#bundle(id), 'agent', 'agent.sock');
  }

  #diskFile(id: string): string {
    return path.join(this.#deps.paths.data, 'instances', id, 'disk.img');
  }

  async start(plan: StartPlan): Promise<string> {
    try {
      const { handle, channel } = await this.#boot(plan);
      await channel.startTask(guestProcess(plan.process, { ...plan, pidsLimit: plan.limits.pids }));
      return JSON.stringify(handle);
    } catch (error) {
      await this.release(plan.id);
      throw error;
    }
  }

  /** The machine is up and configured; no task yet. */
  async #boot(plan: StartPlan): Promise<{ handle: Handle; channel: GuestChannel }> {
    const { vmm, kernels, supervisor, guest } = this.#deps;
    if (plan.process.cwd.startsWith('/proc'))
      throw new BulkheadError('start_failed', `the working directory ${plan.process.cwd} is not a place of the image`);
    const memoryBytes = plan.limits.memoryBytes || DEFAULT_MEMORY_BYTES;
    if (memoryBytes < MIN_MEMORY_BYTES)
      throw new BulkheadError('invalid_limit', `${memoryBytes} bytes of memory are too few for a kernel of its own`, {
        hint: `A microVM needs at least ${MIN_MEMORY_BYTES >> 20} MiB.`,
      });
    const bundle = this.#bundle(plan.id);
    mkdirSync(bundle, { recursive: true, mode: 0o711 });
    const { mounts, unmapped } = withHostOwners(plan, this.#deps.rootfs);
    const shares = sharesOf(mounts);
    const kernel = await kernels.get({ shares: shares.length > 0 });
    const layers = plan.layers.map((layer) => ({ file: this.#deps.rootfs.layerFile(layer), readOnly: true }));
    const disks = plan.readOnlyRoot
      ? layers
      : [
          ...layers,
          {
            file: await ext4Image(
              path.join(this.#deps.paths.data, 'vmm'),
              this.#diskFile(plan.id),
              plan.limits.diskBytes || DEFAULT_DISK_BYTES,
            ),
            readOnly: false,
          },
        ];
    for (const layer of layers) chmodSync(layer.file, 0o444);
    const layout = vmm.diskLayout(disks.length, shares.length);
    const machine: Machine = {
      id: plan.id,
      kernel: kernel.image,
      initrd: initrd(kernel, guest, { scsi: layout.scsi, shares: shares.length > 0 }),
      memoryBytes,
      cpus: Math.max(1, Math.ceil(plan.limits.cpus ?? 1)),
      disks,
      shares,
      agentSocket: this.#agentSocket(plan.id),
      ...(plan.lease ? { lease: plan.lease } : {}),
    };
    const { uid } = await vmm.prepare(machine, bundle);
    mkdirSync(path.dirname(plan.logPath), { recursive: true });
    await supervisor.start({
      id: plan.id,
      bundle,
      runtime: '/usr/bin/crun',
      runtimeArgs: ['--root', this.#runtimeRoot()],
      joinCgroups: [],
      tty: false,
      stdin: false,
      extraOutput: true,
      logPath: plan.logPath,
      logMaxBytes: plan.logMaxBytes * 4,
    });
    this.#deps.cgroup.limit(plan.id, {
      ...(plan.limits.cpus ? { cpus: plan.limits.cpus } : {}),
      ...(plan.limits.cpuShares ? { cpuShares: plan.limits.cpuShares } : {}),
    });
    const channel = await this.#lines.connect(plan.id, { timeoutMs: BOOT_LIMIT_MS, fresh: true });
    await channel.configure(
      configurationOf(plan, {
        devices: layout.devices,
        shares,
        layerFormat: this.#deps.rootfs.layerFormat(),
        unixTimeMs: Date.now(),
        entropy: randomBytes(256),
      }),
    );
    return {
      handle: {
        version: 1,
        uid,
        kernel: channel.hello.kernel,
        memoryBytes,
        capabilities: plan.capabilities,
        ...(unmapped.length > 0 ? { unmapped } : {}),
        ...(plan.lease ? { lease: plan.lease } : {}),
      },
      channel,
    };
  }

  #runtimeRoot(): string {
    return path.join(this.#deps.paths.run, 'crun');
  }

  async recover(id: string, handle: string | undefined): Promise<RecoveredState> {
    const { supervisor } = this.#deps;
    if (keptExit(this.#bundle(id)) !== undefined || (await supervisor.exited(id)) !== undefined) return 'exited';
    if (handle === undefined || !(await supervisor.alive(id))) return 'lost';
    try {
      await this.#lines.get(id);
      return 'running';
    } catch {
      return 'lost';
    }
  }

  async wait(id: string): Promise<Exit> {
    const { supervisor, cgroup } = this.#deps;
    const exit = keptExit(this.#bundle(id)) ?? (await this.#taskExit(id));
    if (exit !== undefined) {
      await this.#powerOff(id);
      return exit;
    }
    // The machine went without its task's exit: killed, crashed, or out of the host's memory.
    const oomKilled = cgroup.oomKills(id) > 0;
    if ((await supervisor.exited(id)) === undefined) this.#switchOff(id);
    const end = await supervisor.wait(id);
    return { code: 137, oomKilled: oomKilled || end.oomKilled, at: end.at };
  }

  /** From the guest; undefined where it will not tell any more. */
  async #taskExit(id: string): Promise<Exit | undefined> {
    const { supervisor } = this.#deps;
    for (let attempt = 0; attempt <= MAX_RECONNECTS; attempt++) {
      let channel: GuestChannel | undefined;
      try {
        channel = await this.#lines.get(id);
        const exit = { ...(await channel.waitTask()), at: Date.now() };
        keepExit(this.#bundle(id), exit);
        return exit;
      } catch {
        // A guest that lies gets no second hearing; a line that broke alone is no reason to end its task.
        if (channel?.failure !== undefined) return undefined;
        if ((await supervisor.exited(id)) !== undefined || !(await supervisor.alive(id))) return undefined;
      }
    }
    return undefined;
  }

  async #powerOff(id: string): Promise<void> {
    const { supervisor } = this.#deps;
    if ((await supervisor.exited(id)) !== undefined || !(await supervisor.alive(id))) return;
    this.#lines
      .get(id)
      .then((channel) => channel.powerOff())
      .catch(() => {});
    const off = await Promise.race([
      supervisor.wait(id).then(() => true),
      new Promise<false>((resolve) => setTimeout(() => resolve(false), POWER_OFF_LIMIT_MS).unref()),
    ]);
    if (!off) this.#switchOff(id);
  }

  #switchOff(id: string): void {
    for (const pid of this.#deps.cgroup.pids(id)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It went by itself.
      }
    }
  }

  async signal(id: string, _handle: string, signal: number): Promise<void> {
    if (signal !== SIGKILL) {
      await (await this.#lines.get(id)).signalTask(signal);
      return;
    }
    const limit = setTimeout(() => {
      void this.#deps.supervisor.exited(id).then((exit) => {
        if (exit === undefined) this.#switchOff(id);
      });
    }, OBEY_LIMIT_MS);
    limit.unref();
    try {
      await (await this.#lines.get(id)).signalTask(signal);
    } catch {
      this.#switchOff(id);
    }
  }

  async exec(id: string, handle: string, process: ProcessSpec): Promise<Session> {
    const { capabilities } = JSON.parse(handle) as Handle;
    return (await this.#lines.get(id)).exec(guestProcess(process, { capabilities }));
  }

  async attach(id: string): Promise<Attachment> {
    return (await this.#lines.get(id)).taskStdin();
  }

  async stats(id: string, handle: string): Promise<Stats> {
    const { lease, memoryBytes } = JSON.parse(handle) as Handle;
    const channel = await this.#lines.get(id);
    const [guest, network] = await Promise.all([
      channel.stats(),
      lease ? this.#deps.counters(lease) : { receivedBytes: 0, sentBytes: 0 },
    ]);
    // Memory and CPU are what the machine costs the host; processes are the guest's.
    const usage = this.#deps.cgroup.usage(id);
    return {
      at: Date.now(),
      ...usage,
      memoryLimitBytes: memoryBytes,
      pids: guest.pids,
      networkReceivedBytes: network.receivedBytes,
      networkSentBytes: network.sentBytes,
    };
  }

  async update(id: string, _handle: string, limits: Limits): Promise<void> {
    if (limits.memoryBytes)
      throw new BulkheadError('not_supported', 'the memory of a running microVM cannot change', {
        hint: 'Remove it and run it again with another --memory.',
      });
    if (limits.pids) throw new BulkheadError('not_supported', 'the process limit of a running microVM cannot change');
    this.#deps.cgroup.limit(id, limits);
  }

  async readArchive(plan: StartPlan, handle: string | undefined, source: string): Promise<Readable> {
    const { run, done } = await this.#tarRunner(plan, handle);
    try {
      const tar = await readThroughTar(run, source);
      tar.once('close', () => void done());
      return tar;
    } catch (error) {
      await done();
      throw error;
    }
  }

  async writeArchive(plan: StartPlan, handle: string | undefined, directory: string, tar: Readable): Promise<void> {
    const { run, done } = await this.#tarRunner(plan, handle);
    try {
      await writeThroughTar(run, directory, tar);
    } finally {
      await done();
    }
  }

  /** busybox in the guest; a stopped machine is booted without its task for that long. */
  async #tarRunner(
    plan: StartPlan,
    handle: string | undefined,
  ): Promise<{ run: (args: string[]) => Promise<Session>; done: () => Promise<void> }> {
    const running = handle !== undefined && (await this.#deps.supervisor.alive(plan.id));
    const { lease: _lease, ...rest } = plan;
    // Its log is not the place for what the monitor says meanwhile.
    const channel = running
      ? await this.#lines.get(plan.id)
      : (await this.#boot({ ...rest, readOnlyRoot: false, logPath: '/dev/null' })).channel;
    return {
      run: (args) =>
        channel.exec(guestProcess(busyboxProcess(args, { stdin: true }), { capabilities: FILE_CAPABILITIES })),
      done: async () => {
        if (running) return;
        await this.#powerOff(plan.id);
        await this.release(plan.id);
      },
    };
  }

  async inspect(_id: string, handle: string | undefined): Promise<Record<string, string>> {
    const facts = await this.#deps.vmm.fingerprint();
    const known = handle === undefined ? undefined : (JSON.parse(handle) as Handle);
    return {
      ...('reason' in facts
        ? {}
        : { vmm: `${facts.name} ${facts.version}`, accelerator: facts.accelerator, machine: facts.machine }),
      ...(known ? { kernel: known.kernel, jailUid: String(known.uid), memory: `${known.memoryBytes >> 20} MiB` } : {}),
      ...unmappedFact(known?.unmapped),
    };
  }

  async release(id: string): Promise<void> {
    const { supervisor, cgroup, vmm, rootfs } = this.#deps;
    this.#switchOff(id);
    await this.#lines.drop(id);
    if (existsSync(path.join(this.#runtimeRoot(), id)))
      await runCommand('/usr/bin/crun', ['--root', this.#runtimeRoot(), 'delete', '--force', id]);
    await supervisor.forget(id);
    await cgroup.remove(id);
    await vmm.cleanUp(id, this.#bundle(id));
    // A first volume is filled from a view of the image on the host; binds have a view of their own.
    await rootfs.unmount(id);
    rmSync(this.#bundle(id), { recursive: true, force: true });
  }

  /** Lets go of every guest without a word to it: they live on. */
  async disconnect(): Promise<void> {
    await this.#lines.dropAll();
  }

  async destroy(id: string): Promise<void> {
    await this.release(id);
    await this.#deps.rootfs.discard(id);
    rmSync(this.#diskFile(id), { force: true });
  }

  async leftovers(): Promise<string[]> {
    const instances = path.join(this.#deps.paths.data, 'instances');
    return existsSync(instances) ? readdirSync(instances).filter((id) => existsSync(this.#diskFile(id))) : [];
  }
}
