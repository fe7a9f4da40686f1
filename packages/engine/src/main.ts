/** Composition root: the only file that names adapters. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import pino from 'pino';
import { parseConfig } from './config.ts';
import type { Lease } from './domain/instance.ts';
import type { Level } from './domain/level.ts';
import { GvisorDriver } from './drivers/gvisor/driver.ts';
import { OciDriver } from './drivers/oci/driver.ts';
import { Engine } from './engine.ts';
import { Cgroups } from './host/cgroup.ts';
import { Doctor } from './host/doctor.ts';
import { databasePath, hostPaths, socketPath } from './host/paths.ts';
import { systemClock } from './host/system-clock.ts';
import { SkopeoImageStore } from './images/store.ts';
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
import { DirectoryStorage } from './volumes/directory-storage.ts';

/** For crash tests: the engine kills itself where this names a step. */
const FAULT_VARIABLE = 'BULKHEAD_FAULT';

function faultPoint(): FaultPoint {
  const wanted = process.env[FAULT_VARIABLE];
  if (!wanted) return () => undefined;
  return (step) => {
    if (step === wanted) process.kill(process.pid, 'SIGKILL');
  };
}

async function main(): Promise<void> {
  const config = parseConfig(process.argv.slice(2));
  const paths = hostPaths(config.data, config.run);
  const policy = loadPolicy(config.policy);
  const lock = new EngineLock(paths.data);
  const logger = pino(
    { base: { pid: process.pid } },
    pino.multistream([
      { stream: pino.destination({ dest: join(paths.data, 'engine.log'), sync: true }) },
      ...(config.foreground ? [{ stream: process.stdout }] : []),
    ]),
  );
  const report = (what: string, error: unknown) => logger.error({ err: error }, what);
  const clock = systemClock;
  const state = new SqliteState(databasePath(paths));
  const rootfs = new OverlayRootfs({ paths });
  await rootfs.init();
  const supervisor = new ConmonSupervisor({ paths });
  const network = new LinuxNetwork({ paths, clock, warn: (message) => logger.warn(message) });
  const cgroup = new Cgroups(paths.tag);
  const parts = { paths, rootfs, supervisor, cgroup, counters: (lease: Lease) => network.counters(lease) };
  const drivers = new Map<Level, Driver>([
    ['container', new OciDriver(parts)],
    ['gvisor', new GvisorDriver(parts)],
  ]);
  const end = (code: number) => {
    lock.release();
    process.exit(code);
  };
  const engine = new Engine({
    deps: {
      clock,
      state,
      images: new SkopeoImageStore({ paths, state }),
      rootfs,
      network,
      drivers,
      logs: new ConmonLog({ supervisor }),
      policy,
      storage: new DirectoryStorage({ paths, idMap: () => rootfs.idMap() }),
      fault: faultPoint(),
      cpus: availableParallelism(),
      ownTrees: [paths.data, paths.run],
      report,
    },
    socket: socketPath(paths),
    version: VERSION,
    doctor: (refresh) => doctor.checks(refresh),
    ended: () => end(0),
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
  logger.info({ version: VERSION, socket: socketPath(paths), data: paths.data }, 'ready');
}

main().catch((error: unknown) => {
  const known = error instanceof BulkheadError;
  process.stderr.write(
    known ? `${error.message}\n${error.hint}\n` : `${error instanceof Error ? error.stack : error}\n`,
  );
  process.exit(1);
});
