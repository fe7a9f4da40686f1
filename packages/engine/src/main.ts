/** Composition root: the only file that names adapters. */
import { flushCompileCache } from 'node:module';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import pino from 'pino';
import type { RuntimeDeps } from './bundle/runtime-driver.ts';
import { parseConfig } from './config.ts';
import type { Lease } from './domain/instance.ts';
import type { Level } from './domain/level.ts';
import { GvisorDriver } from './drivers/gvisor/driver.ts';
import { MicrovmDriver } from './drivers/microvm/driver.ts';
import { initrd } from './drivers/microvm/initrd.ts';
import { OciDriver } from './drivers/oci/driver.ts';
import { Engine } from './engine.ts';
import { Cgroups } from './host/cgroup.ts';
import { prepareCgroups } from './host/checks/cgroups.ts';
import { Doctor } from './host/doctor.ts';
import { databasePath, hostPaths, socketPath } from './host/paths.ts';
import { systemClock } from './host/system-clock.ts';
import { IMAGE_FAULT_STEPS } from './images/faults.ts';
import { SkopeoImageStore } from './images/store.ts';
import { GuestKernels } from './kernels/guest-kernel.ts';
import { FAULT_STEPS } from './lifecycle/faults.ts';
import { DEFAULT_NETWORK } from './lifecycle/task-request.ts';
import { networkChecks } from './network/checks.ts';
import { LinuxNetwork } from './network/linux-network.ts';
import { loadPolicy } from './policy/load.ts';
import type { FaultPoint } from './ports/clock.ts';
import type { Driver } from './ports/driver.ts';
import { OverlayRootfs } from './rootfs/overlay.ts';
import { EngineLock } from './state/engine-lock.ts';
import { SqliteState } from './state/sqlite-state.ts';
import { ConmonSupervisor } from './supervisor/conmon.ts';
import { ConmonLog } from './supervisor/conmon-log.ts';
import { VERSION } from './version.ts';
import { QemuVmm } from './vmms/qemu/qemu.ts';
import { DirectoryStorage } from './volumes/directory-storage.ts';

/** For crash tests: the engine kills itself where this names a step. */
const FAULT_VARIABLE = 'BULKHEAD_FAULT';

/** The first untrusted task after that need not wait for the probes. */
const FIRST_PROBE_MS = 15_000;

function faultPoint(): FaultPoint {
  const wanted = process.env[FAULT_VARIABLE];
  if (!wanted) return () => undefined;
  const known: readonly string[] = [...FAULT_STEPS, ...IMAGE_FAULT_STEPS];
  if (!known.includes(wanted))
    throw new BulkheadError('usage', `${FAULT_VARIABLE} names no step: ${wanted}`, {
      hint: `There are: ${known.join(', ')}.`,
    });
  return (step) => {
    if (step === wanted) process.kill(process.pid, 'SIGKILL');
  };
}

/** PID 1 of the guest, as guest/build.sh makes it. */
const GUEST_INIT = resolve(import.meta.dirname, '../../../guest/build/init');

function microvm(parts: RuntimeDeps): MicrovmDriver {
  const { paths, rootfs, cgroup } = parts;
  const kernels = new GuestKernels({ data: paths.data });
  const guest = { initPath: GUEST_INIT, busyboxPath: '/bin/busybox' };
  const bootable = async () => {
    const kernel = await kernels.get({ shares: false });
    const image = initrd(kernel, guest, { scsi: false, shares: false });
    return { kernel: kernel.image, initrd: image, release: kernel.release };
  };
  const vmm = new QemuVmm({ paths, rootfs, cgroupPath: (id) => cgroup.pathOf(id), bootable });
  return new MicrovmDriver({ ...parts, vmm, kernels, guest });
}

async function main(): Promise<void> {
  const config = parseConfig(process.argv.slice(2));
  const fault = faultPoint();
  const paths = hostPaths(config.data, config.run);
  const policy = loadPolicy(config.policy);
  const lock = new EngineLock(paths.data);
  const logFile = pino.destination({ dest: join(paths.data, 'engine.log'), sync: true });
  // On a full disk the engine goes on without a word, rather than not at all.
  logFile.on('error', () => undefined);
  const logger = pino(
    { base: { pid: process.pid } },
    pino.multistream([{ stream: logFile }, ...(config.foreground ? [{ stream: process.stdout }] : [])]),
  );
  const report = (what: string, error: unknown) => logger.error({ err: error }, what);
  const clock = systemClock;
  const state = new SqliteState(databasePath(paths));
  const groups = prepareCgroups();
  if (groups.mounted.length > 0)
    logger.info({ controllers: groups.mounted }, 'mounted as v1 hierarchies, without which crun refuses');
  const rootfs = new OverlayRootfs({ paths });
  await rootfs.init();
  const supervisor = new ConmonSupervisor({ paths });
  const network = new LinuxNetwork({ paths, clock, warn: (message) => logger.warn(message) });
  const cgroup = new Cgroups(paths.tag);
  const parts = { paths, rootfs, supervisor, cgroup, counters: (lease: Lease) => network.counters(lease) };
  const containers = new OciDriver(parts);
  const drivers = new Map<Level, Driver>([
    ['container', containers],
    ['gvisor', new GvisorDriver(parts)],
    ['microvm', microvm(parts)],
  ]);
  let purged = false;
  const end = (code: number) => {
    if (purged) {
      rootfs.unmountAll();
      containers.purge();
      cgroup.removeParent();
    }
    lock.release();
    process.exit(code);
  };
  const { DOCKER_HOST } = process.env;
  /** As an instance without a name would have it; what a crash leaves of it is nobody's, and goes at the next start. */
  const buildNetwork = async () => {
    const record = engine.lifecycle.networks.find(DEFAULT_NETWORK);
    const id = clock.newId();
    const lease = await network.acquire(record, id, []);
    return { netnsPath: lease.netnsPath, dnsServer: lease.dnsServer, release: () => network.free(id, lease) };
  };
  const engine: Engine = new Engine({
    deps: {
      clock,
      state,
      images: new SkopeoImageStore({
        paths,
        state,
        fault,
        buildNetwork,
        ...(DOCKER_HOST ? { dockerHost: DOCKER_HOST } : {}),
        onLayersRemoved: () => rootfs.releaseUnused(),
      }),
      rootfs,
      network,
      drivers,
      logs: new ConmonLog({ supervisor }),
      policy,
      storage: new DirectoryStorage({ paths, idMap: () => rootfs.idMap() }),
      fault,
      cpus: availableParallelism(),
      ownTrees: [paths.data, paths.run],
      report,
    },
    socket: socketPath(paths),
    version: VERSION,
    doctor: (refresh) => doctor.checks(refresh),
    ended: (asked) => {
      purged = asked.purge;
      end(0);
    },
  });
  const doctor = new Doctor({
    paths,
    fingerprints: (refresh) => (refresh ? engine.lifecycle.levels.refresh() : engine.lifecycle.levels.probe()),
    others: () => networkChecks(paths),
  });
  process.on('uncaughtException', (error) => report('defect', error));
  process.on('unhandledRejection', (error) => report('defect', error));
  const stop = () => {
    engine.stop().then(
      () => end(0),
      (error: unknown) => {
        report('shutdown', error);
        end(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  await engine.start();
  // What the levels can do is found out by use, in the background and after whatever a restart has to do first.
  setTimeout(() => {
    engine.lifecycle.levels.probe().catch((error: unknown) => report('probe of the levels', error));
  }, FIRST_PROBE_MS).unref();
  logger.info({ version: VERSION, socket: socketPath(paths), data: paths.data }, 'ready');
  // Otherwise written at an orderly end only: an engine that is killed should come back as fast.
  flushCompileCache();
}

/** Nothing of the data directory could be written: said as what it is. */
function explained(error: unknown): unknown {
  const { code, path: place = 'the data directory' } = error as NodeJS.ErrnoException;
  if (code === 'EROFS')
    return new BulkheadError('read_only', `${place} is on a read-only file system`, { cause: error });
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new BulkheadError('disk_full', `no space is left for ${place}`, { cause: error });
  return error;
}

main().catch((thrown: unknown) => {
  const error = explained(thrown);
  const known = error instanceof BulkheadError;
  process.stderr.write(
    known ? `${error.message}\n${error.hint}\n` : `${error instanceof Error ? error.stack : error}\n`,
  );
  process.exit(1);
});
