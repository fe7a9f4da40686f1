/** Level `microvm`: the task runs on a kernel of its own, on virtual hardware. The monitor is a bundle like any other. */
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract';
import { readThroughTar, writeThroughTar } from '../../bundle/archive.ts';
import { runCommand } from '../../bundle/command.ts';
import type { Lease } from '../../domain/instance.ts';
import type { Limits, MountSpec } from '../../domain/task.ts';
import type { Cgroups } from '../../host/cgroup.ts';
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
import type { KernelSource, Machine, MachineShare, Vmm } from '../../ports/vmm.ts';
import { GuestChannel, type GuestConfig, type GuestProcess } from './channel.ts';
import { writableDisk } from './disk.ts';
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
  lease?: Lease;
}

const HOLDS = 'its own kernel on virtual hardware; the VMM jailed: own uid, no capability, seccomp, cgroup';
const DEFAULT_MEMORY_BYTES = 256 << 20;
const MIN_MEMORY_BYTES = 96 << 20;
const BOOT_LIMIT_MS = 60_000;
const RECONNECT_LIMIT_MS = 10_000;
/** From the acknowledged exit to the monitor's end; after that it is killed. */
const POWER_OFF_LIMIT_MS = 3_000;
const SIGKILL = 9;
/** A guest that does not even obey SIGKILL is switched off. */
const OBEY_LIMIT_MS = 5_000;

export class MicrovmDriver implements Driver {
  readonly level = 'microvm' as const;
  readonly #deps: MicrovmDeps;
  readonly #channels = new Map<string, Promise<GuestChannel>>();

  constructor(deps: MicrovmDeps) {
    this.#deps = deps;
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

  #diskFile(id: string): string {
    return path.join(this.#deps.paths.data, 'instances', id, 'disk.img');
  }

  async start(plan: StartPlan): Promise<string> {
    try {
      const { handle, channel } = await this.#boot(plan);
      await channel.startTask(this.#process(plan.process, plan, plan.limits.pids));
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
    const shares = this.#shares(plan.mounts);
    const kernel = await kernels.get({ shares: shares.length > 0 });
    const layers = plan.layers.map((layer) => ({ file: this.#deps.rootfs.layerFile(layer), readOnly: true }));
    const disks = plan.readOnlyRoot
      ? layers
      : [
          ...layers,
          {
            file: await writableDisk(
              path.join(this.#deps.paths.data, 'vmm'),
              this.#diskFile(plan.id),
              plan.limits.diskBytes,
            ),
            readOnly: false,
          },
        ];
    for (const layer of layers) chmodSync(layer.file, 0o444);
    const machine: Machine = {
      id: plan.id,
      kernel: kernel.image,
      initrd: initrd(kernel, guest, { scsi: vmm.usesScsi(disks.length), shares: shares.length > 0 }),
      memoryBytes,
      cpus: Math.max(1, Math.ceil(plan.limits.cpus ?? 1)),
      disks,
      shares,
      agentSocket: path.join(bundle, 'agent', 'agent.sock'),
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
    const channel = await this.#connect(plan.id, BOOT_LIMIT_MS);
    await channel.configure(this.#configuration(plan, vmm.deviceNames(disks.length), shares));
    return {
      handle: {
        version: 1,
        uid,
        kernel: channel.hello.kernel,
        memoryBytes,
        capabilities: plan.capabilities,
        ...(plan.lease ? { lease: plan.lease } : {}),
      },
      channel,
    };
  }

  #runtimeRoot(): string {
    return path.join(this.#deps.paths.run, 'crun');
  }

  #shares(mounts: MountSpec[]): MachineShare[] {
    return mounts
      .filter((mount) => mount.type === 'bind')
      .map((mount, index) => ({
        tag: `share${index}`,
        source: mount.source,
        readOnly: mount.readOnly,
        isFile: !statSync(mount.source).isDirectory(),
      }));
  }

  #configuration(plan: StartPlan, devices: string[], shares: MachineShare[]): GuestConfig {
    const binds = plan.mounts.filter((mount) => mount.type === 'bind');
    const format = this.#deps.rootfs.layerFormat();
    return {
      hostname: plan.hostname,
      ...(plan.domainname ? { domainname: plan.domainname } : {}),
      layers: plan.layers.map((_layer, index) => ({ device: devices[index] ?? '', fsType: format })),
      upper: plan.readOnlyRoot ? { tmpfs: true } : { device: devices[plan.layers.length] ?? '', fsType: 'ext4' },
      readOnlyRoot: plan.readOnlyRoot,
      mounts: binds.map((mount, index) => ({
        kind: '9p',
        source: shares[index]?.tag ?? '',
        target: mount.target,
        fsType: '9p',
        readOnly: mount.readOnly,
        ...(shares[index]?.isFile ? { subpath: 'file' } : {}),
      })),
      tmpfs: plan.mounts
        .filter((mount) => mount.type === 'tmpfs')
        .map((mount) => ({
          target: mount.target,
          ...(mount.sizeBytes ? { sizeBytes: mount.sizeBytes } : {}),
          ...(mount.mode ? { mode: mount.mode } : {}),
        })),
      shmSizeBytes: plan.shmSizeBytes,
      ...(plan.lease
        ? {
            network: {
              interfaceName: plan.lease.interfaceName,
              ip: plan.lease.ip,
              prefixLength: plan.lease.prefixLength,
              gateway: plan.lease.gateway,
            },
          }
        : {}),
      hostsFile: plan.hostsFile,
      resolvConf: plan.resolvConf,
      sysctls: plan.sysctls,
      unixTimeMs: Date.now(),
      entropy: randomBytes(256),
    };
  }

  #process(
    spec: ProcessSpec,
    plan: { capabilities: string[]; ulimits?: StartPlan['ulimits']; init?: boolean },
    pidsLimit?: number,
  ): GuestProcess {
    return {
      ...spec,
      capabilities: plan.capabilities,
      ulimits: plan.ulimits ?? [],
      noNewPrivileges: true,
      init: plan.init ?? false,
      ...(pidsLimit && pidsLimit > 0 ? { pidsLimit } : {}),
    };
  }

  #connect(id: string, timeoutMs: number): Promise<GuestChannel> {
    const connecting = this.#dial(id, timeoutMs);
    this.#channels.set(id, connecting);
    connecting.then(
      (channel) =>
        void channel.closed.then(() => {
          if (this.#channels.get(id) === connecting) this.#channels.delete(id);
        }),
      () => {
        if (this.#channels.get(id) === connecting) this.#channels.delete(id);
      },
    );
    return connecting;
  }

  /** Gives up at once when the monitor has ended. */
  async #dial(id: string, timeoutMs: number): Promise<GuestChannel> {
    let over = false;
    const ended = this.#deps.supervisor.wait(id).then((exit) => {
      if (!over)
        throw new BulkheadError(
          'start_failed',
          `the virtual machine ended (code ${exit.code}) before its agent answered`,
        );
      return undefined as never;
    });
    ended.catch(() => {});
    try {
      return await Promise.race([
        GuestChannel.connect(path.join(this.#bundle(id), 'agent', 'agent.sock'), { timeoutMs }),
        ended,
      ]);
    } finally {
      over = true;
    }
  }

  #channel(id: string): Promise<GuestChannel> {
    return this.#channels.get(id) ?? this.#connect(id, RECONNECT_LIMIT_MS);
  }

  async recover(id: string, handle: string | undefined): Promise<RecoveredState> {
    const { supervisor } = this.#deps;
    if ((await supervisor.exited(id)) !== undefined) return 'exited';
    if (!(await supervisor.alive(id))) return 'lost';
    if (handle === undefined) return 'lost';
    try {
      await this.#channel(id);
      return 'running';
    } catch {
      return 'lost';
    }
  }

  async wait(id: string): Promise<Exit> {
    const { supervisor, cgroup } = this.#deps;
    try {
      const channel = await this.#channel(id);
      const { code, oomKilled } = await channel.waitTask();
      const at = Date.now();
      channel.powerOff().catch(() => {});
      const off = await Promise.race([
        supervisor.wait(id).then(() => true),
        new Promise<false>((resolve) => setTimeout(() => resolve(false), POWER_OFF_LIMIT_MS).unref()),
      ]);
      if (!off) this.#switchOff(id);
      return { code, oomKilled, at };
    } catch {
      // The machine went without its task's exit: killed, crashed, or out of the host's memory.
      const oomKilled = cgroup.oomKills(id) > 0;
      if ((await supervisor.exited(id)) === undefined) this.#switchOff(id);
      const exit = await supervisor.wait(id);
      return { code: 137, oomKilled: oomKilled || exit.oomKilled, at: exit.at };
    }
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
      await (await this.#channel(id)).signalTask(signal);
      return;
    }
    const limit = setTimeout(() => {
      void this.#deps.supervisor.exited(id).then((exit) => {
        if (exit === undefined) this.#switchOff(id);
      });
    }, OBEY_LIMIT_MS);
    limit.unref();
    try {
      await (await this.#channel(id)).signalTask(signal);
    } catch {
      this.#switchOff(id);
    }
  }

  async exec(id: string, handle: string, process: ProcessSpec): Promise<Session> {
    const { capabilities } = JSON.parse(handle) as Handle;
    return (await this.#channel(id)).exec(this.#process(process, { capabilities }));
  }

  async attach(id: string): Promise<Attachment> {
    return (await this.#channel(id)).taskStdin();
  }

  async stats(id: string, handle: string): Promise<Stats> {
    const { lease, memoryBytes } = JSON.parse(handle) as Handle;
    const channel = await this.#channel(id);
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
      ? await this.#channel(plan.id)
      : (await this.#boot({ ...rest, readOnlyRoot: false, logPath: '/dev/null' })).channel;
    const spec = (args: string[]): ProcessSpec => ({
      args: ['/.bulkhead/busybox', ...args],
      env: ['PATH=/bin'],
      cwd: '/',
      user: '0:0',
      groupAdd: [],
      tty: false,
      stdin: true,
    });
    const capabilities = ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER', 'CAP_FSETID', 'CAP_MKNOD', 'CAP_SETFCAP'];
    return {
      run: (args) => channel.exec(this.#process(spec(args), { capabilities })),
      done: async () => {
        if (running) return;
        await channel.powerOff().catch(() => {});
        await Promise.race([
          this.#deps.supervisor.wait(plan.id),
          new Promise((resolve) => setTimeout(resolve, POWER_OFF_LIMIT_MS).unref()),
        ]);
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
    };
  }

  async release(id: string): Promise<void> {
    const { supervisor, cgroup, vmm } = this.#deps;
    const channel = await this.#channels.get(id)?.catch(() => undefined);
    channel?.close();
    this.#channels.delete(id);
    this.#switchOff(id);
    if (existsSync(path.join(this.#runtimeRoot(), id)))
      await runCommand('/usr/bin/crun', ['--root', this.#runtimeRoot(), 'delete', '--force', id]);
    await supervisor.forget(id);
    await cgroup.remove(id);
    await vmm.cleanUp(id, this.#bundle(id));
    rmSync(this.#bundle(id), { recursive: true, force: true });
  }

  async destroy(id: string): Promise<void> {
    await this.release(id);
    rmSync(this.#diskFile(id), { force: true });
  }

  async leftovers(): Promise<string[]> {
    const instances = path.join(this.#deps.paths.data, 'instances');
    return existsSync(instances) ? readdirSync(instances).filter((id) => existsSync(this.#diskFile(id))) : [];
  }
}
