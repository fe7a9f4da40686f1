/** What follows when a run ends: the result is stored, the host is cleared, and the restart policy has its say. */
import { BulkheadError } from '@bulkhead/contract';
import type { InstanceRecord } from '../domain/instance.ts';
import type { Driver, Exit } from '../ports/driver.ts';
import type { LifecycleDeps } from './deps.ts';
import type { Ledger } from './ledger.ts';
import { type LiveTable, Run } from './live.ts';
import { restartDelayMs, wantsRestart } from './restarts.ts';

/** How long an instance of `--rm` waits for its client to attach, and then for it to read to the end. */
const ATTACH_GRACE_MS = 1000;
const DRAIN_LIMIT_MS = 30_000;
/** A run that lasted so long clears the count of failures. */
const STABLE_MS = 10_000;

const UNWRITABLE = new Set<string>(['disk_full', 'read_only']);
const WRITE_AGAIN_MS = 1000;

export interface EndingHooks {
  relaunch: (id: string) => Promise<void>;
  remove: (id: string) => Promise<void>;
  /** A run began or was taken over: health checks. */
  began: (record: InstanceRecord, run: Run) => void;
}

export class Endings {
  readonly #deps: LifecycleDeps;
  readonly #ledger: Ledger;
  readonly #table: LiveTable;
  readonly #hooks: EndingHooks;

  constructor(deps: LifecycleDeps, parts: { ledger: Ledger; table: LiveTable; hooks: EndingHooks }) {
    this.#deps = deps;
    this.#ledger = parts.ledger;
    this.#table = parts.table;
    this.#hooks = parts.hooks;
  }

  /** Follows a run from its start, or from the engine's. */
  watch(record: InstanceRecord, driver: Driver, exit: Promise<Exit>): Run {
    const { clock, report } = this.#deps;
    const answered = exit.catch((error: unknown): Exit => {
      report(`waiting for ${record.id}`, error);
      return { code: 137, oomKilled: false, at: clock.now() };
    });
    const run = new Run(record.handle ?? '', answered);
    this.#table.of(record.id).begin(run);
    this.#hooks.began(record, run);
    void answered.then((end) => this.#ended(record.id, driver, run, end)).catch((error) => report('ending', error));
    return run;
  }

  async #ended(id: string, driver: Driver, run: Run, exit: Exit): Promise<void> {
    const { fault, report } = this.#deps;
    const live = this.#table.of(id);
    fault('exit.seen');
    run.over.abort();
    let record: InstanceRecord | undefined;
    try {
      record = await this.#onceWritable(id, () =>
        live.mutex.run(async () => {
          const ended = this.#store(id, exit);
          live.run = undefined;
          run.markStored();
          fault('exit.stored');
          return await this.#clear(ended, driver);
        }),
      );
    } catch (error) {
      report(`end of ${id}`, error);
    } finally {
      if (live.run === run) live.run = undefined;
      run.markStored();
      run.settle();
    }
    if (record) await this.#after(record);
  }

  /** An end that cannot be written would be forgotten, and the instance run for ever: it is tried until there is space. */
  async #onceWritable<T>(id: string, body: () => Promise<T>): Promise<T> {
    const { clock, report } = this.#deps;
    for (let told = false; ; told = true) {
      try {
        return await body();
      } catch (error) {
        if (!(error instanceof BulkheadError) || !UNWRITABLE.has(error.code)) throw error;
        if (!told) report(`end of ${id}`, error);
        await clock.sleep(WRITE_AGAIN_MS);
      }
    }
  }

  #store(id: string, exit: Exit): InstanceRecord {
    const before = this.#ledger.get(id);
    return this.#ledger.step(
      before,
      'stopped',
      { exitCode: exit.code, oomKilled: exit.oomKilled, finishedAt: exit.at, health: 'none', handle: undefined },
      { action: exit.oomKilled ? 'oom' : 'die', attributes: { exitCode: String(exit.code) } },
    );
  }

  async #clear(record: InstanceRecord, driver: Driver): Promise<InstanceRecord> {
    const { fault, network, report } = this.#deps;
    await driver.release(record.id).catch((error) => report(`release of ${record.id}`, error));
    fault('exit.released');
    if (!record.lease) return record;
    await network.free(record.id, record.lease).catch((error) => report(`network of ${record.id}`, error));
    fault('exit.network');
    try {
      return this.#ledger.change(record, { lease: undefined, ports: undefined });
    } catch (error) {
      // To free it twice does no harm.
      report(`network of ${record.id}`, error);
      return record;
    }
  }

  async #after(record: InstanceRecord): Promise<void> {
    const { clock } = this.#deps;
    const live = this.#table.of(record.id);
    const ranMs = (record.finishedAt ?? 0) - (record.startedAt ?? 0);
    if (ranMs >= STABLE_MS) live.failures = 0;
    if (record.spec.autoRemove) {
      await live.met(clock, ATTACH_GRACE_MS);
      await live.unattended(clock, DRAIN_LIMIT_MS);
      await this.#hooks.remove(record.id);
    } else if (wantsRestart(record, record.stopRequested)) {
      this.restartLater(record);
    }
  }

  /** Exponential backoff; an explicit start, stop or removal calls it off. */
  restartLater(record: InstanceRecord): void {
    const { clock, report } = this.#deps;
    const live = this.#table.of(record.id);
    live.restart?.abort();
    const timer = new AbortController();
    live.restart = timer;
    const delayMs = restartDelayMs(live.failures++);
    void clock
      .sleep(delayMs, timer.signal)
      .then(() => (timer.signal.aborted ? undefined : this.#hooks.relaunch(record.id)))
      .catch((error: unknown) => {
        if (!timer.signal.aborted) report(`restart of ${record.id}`, error);
      });
  }
}
