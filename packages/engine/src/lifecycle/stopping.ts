/** Ends a run on request: the stop signal, then SIGKILL when its time is up. */
import type { InstanceRecord, StopOptions } from '../domain/instance.ts';
import type { LifecycleDeps } from './deps.ts';
import type { Launcher } from './launcher.ts';
import type { Ledger } from './ledger.ts';
import type { LiveTable, Run } from './live.ts';
import { signalNumber } from './signals.ts';

const DEFAULT_STOP_TIMEOUT_MS = 10_000;
const SIGKILL = 9;

export class Stopping {
  readonly #deps: LifecycleDeps;
  readonly #ledger: Ledger;
  readonly #launcher: Launcher;
  readonly #table: LiveTable;

  constructor(deps: LifecycleDeps, parts: { ledger: Ledger; launcher: Launcher; table: LiveTable }) {
    this.#deps = deps;
    this.#ledger = parts.ledger;
    this.#launcher = parts.launcher;
    this.#table = parts.table;
  }

  /** Answers when everything of the run is gone. Stopping what does not run only calls off its restart. */
  async stop(id: string, options: StopOptions = {}): Promise<InstanceRecord> {
    if (options.signal !== undefined) signalNumber(options.signal);
    const live = this.#table.of(id);
    const run = await live.mutex.run(async () => {
      live.restart?.abort();
      const record = this.#ledger.get(id);
      if (record.state === 'running') {
        this.#ledger.step(record, 'stopping', { stopRequested: true, stop: options });
        this.#deps.fault('stop.stopping');
      } else if (!record.stopRequested && record.state !== 'pending') {
        this.#ledger.change(record, { stopRequested: true });
      }
      return live.run;
    });
    if (run) await this.finish(id, run, options);
    const record = this.#ledger.find(id);
    if (run) this.#ledger.tell(record, 'stop');
    return record;
  }

  /** Also for an instance that recovery found `stopping`. */
  async finish(id: string, run: Run, asked?: StopOptions): Promise<void> {
    const record = this.#ledger.get(id);
    const { timeoutMs, signal } = asked ?? record.stop ?? {};
    const driver = this.#launcher.driverOf(record);
    const stopSignal = signal ?? record.spec.stopSignal ?? this.#imageSignal(record) ?? 'TERM';
    const send = async (signal: number) => {
      // It may end between our look and the signal.
      await driver
        .signal(id, run.handle, signal)
        .catch((error) => this.#deps.report(`signal ${signal} to ${id}`, error));
    };
    await send(signalNumber(stopSignal));
    this.#deps.fault('stop.signalled');
    const timer = new AbortController();
    const limitMs = timeoutMs ?? record.spec.stopTimeoutMs ?? DEFAULT_STOP_TIMEOUT_MS;
    const late = this.#deps.clock.sleep(limitMs, timer.signal).then(
      () => true,
      () => false,
    );
    const killNow = await Promise.race([run.exit.then(() => false), late]);
    timer.abort();
    if (killNow) await send(SIGKILL);
    await run.settled;
  }

  #imageSignal(record: InstanceRecord): string | undefined {
    const name = this.#deps.images.find(record.imageId)?.config.stopSignal;
    if (!name) return undefined;
    try {
      signalNumber(name);
      return name;
    } catch {
      // An image with a signal nobody knows is stopped like any other.
      return undefined;
    }
  }
}
