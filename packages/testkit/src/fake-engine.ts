/** An engine on fakes and the mock driver, in this process; real are its state, its API and its directories. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Clock,
  DirectoryStorage,
  Engine,
  EngineLock,
  type FaultPoint,
  type Fingerprint,
  hostPaths,
  type Level,
  MockDriver,
  SqliteState,
  socketPath,
  systemClock,
} from '@bulkhead/engine';
import { FakeImages } from './fake-images.ts';
import { FakeLogs } from './fake-logs.ts';
import { FakeNetwork } from './fake-network.ts';
import { FakePolicy } from './fake-policy.ts';
import { FakeRootfs } from './fake-rootfs.ts';

/** Real time, whose timers keep no test alive that is over. */
const looseClock: Clock = {
  ...systemClock,
  sleep: (ms, signal) => sleep(ms, undefined, { ref: false, ...(signal ? { signal } : {}) }),
};

export interface FakeEngineOptions {
  /** Parent of `data` and `run`; made where absent. */
  directory?: string;
  clock?: Clock;
  fault?: FaultPoint;
  fingerprints?: Partial<Record<Level, Partial<Fingerprint>>>;
  report?: (what: string, error: unknown) => void;
}

export class FakeEngine {
  readonly directory: string;
  readonly socket: string;
  readonly engine: Engine;
  readonly images: FakeImages;
  readonly network: FakeNetwork;
  readonly policy = new FakePolicy();
  readonly state: SqliteState;
  readonly reports: string[] = [];
  readonly #lock: EngineLock;
  readonly #ended = Promise.withResolvers<void>();

  constructor(options: FakeEngineOptions = {}) {
    this.directory = options.directory ?? mkdtempSync(join(tmpdir(), 'bulkhead-fake-'));
    const paths = hostPaths(`${this.directory}/data`, `${this.directory}/run`);
    const clock = options.clock ?? looseClock;
    this.socket = socketPath(paths);
    this.#lock = new EngineLock(paths.data);
    this.state = new SqliteState(`${paths.data}/state.db`);
    this.images = new FakeImages(this.state);
    this.images.add('fake');
    this.network = new FakeNetwork(paths);
    const rootfs = new FakeRootfs(paths);
    const driver = (level: Level) =>
      [level, new MockDriver({ level, paths, clock, fingerprint: options.fingerprints?.[level] ?? {} })] as const;
    this.engine = new Engine({
      deps: {
        clock,
        state: this.state,
        images: this.images,
        rootfs,
        network: this.network,
        drivers: new Map([driver('container'), driver('gvisor'), driver('microvm')]),
        logs: new FakeLogs(),
        policy: this.policy,
        storage: new DirectoryStorage({ paths, idMap: () => rootfs.idMap() }),
        fault: options.fault ?? (() => undefined),
        cpus: 2,
        ownTrees: [paths.data, paths.run],
        report: (what, error) => {
          this.reports.push(`${what}: ${error}`);
          options.report?.(what, error);
        },
      },
      socket: this.socket,
      version: 'test',
      doctor: async () => [],
      ended: () => this.#ended.resolve(),
    });
  }

  start(): Promise<void> {
    return this.engine.start();
  }

  /** Resolves when the API has asked it to end. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  async stop(): Promise<void> {
    await this.engine.stop();
    this.#lock.release();
  }

  async dispose(): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
