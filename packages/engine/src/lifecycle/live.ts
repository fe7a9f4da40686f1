/** What the engine remembers of an instance only while it runs itself: locks, timers, who listens. */
import type { Clock } from '../ports/clock.ts';
import type { Exit } from '../ports/driver.ts';
import { Mutex } from './mutex.ts';

/** One run of the main process. */
export class Run {
  readonly handle: string;
  /** The process has ended; its log may still be drained. */
  readonly exit: Promise<Exit>;
  /** Its end is in the database. */
  readonly stored: Promise<void>;
  readonly markStored: () => void;
  /** Everything of the run is gone from the host. */
  readonly settled: Promise<void>;
  readonly settle: () => void;
  /** Ends health checks. */
  readonly over = new AbortController();

  constructor(handle: string, exit: Promise<Exit>) {
    this.handle = handle;
    this.exit = exit;
    const stored = Promise.withResolvers<void>();
    this.stored = stored.promise;
    this.markStored = stored.resolve;
    const settled = Promise.withResolvers<void>();
    this.settled = settled.promise;
    this.settle = settled.resolve;
  }
}

export class Live {
  readonly mutex = new Mutex();
  run: Run | undefined;
  /** Pending automatic restart. */
  restart: AbortController | undefined;
  /** Automatic restarts in a row that did not run long enough. */
  failures = 0;
  readonly removed: Promise<void>;
  readonly markRemoved: () => void;
  #attached = 0;
  #everAttached = Promise.withResolvers<void>();
  #idle = Promise.withResolvers<void>();
  #started = Promise.withResolvers<Run>();

  constructor() {
    const removed = Promise.withResolvers<void>();
    this.removed = removed.promise;
    this.markRemoved = removed.resolve;
  }

  /** The run that is, or the next that begins. */
  nextRun(): Promise<Run> {
    return this.run ? Promise.resolve(this.run) : this.#started.promise;
  }

  begin(run: Run): void {
    this.run = run;
    this.#started.resolve(run);
    this.#started = Promise.withResolvers();
  }

  /** Returns the function that says the client has all it wants. */
  attach(): () => void {
    this.#everAttached.resolve();
    this.#attached++;
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      if (--this.#attached === 0) {
        this.#idle.resolve();
        this.#idle = Promise.withResolvers();
      }
    };
  }

  /** A client has attached, or `limitMs` have passed without one. */
  async met(clock: Clock, limitMs: number): Promise<void> {
    const stop = new AbortController();
    await Promise.race([this.#everAttached.promise, clock.sleep(limitMs, stop.signal).catch(() => undefined)]);
    stop.abort();
  }

  /** Nobody reads any more, or `limitMs` have passed: a client that has stopped reading holds nothing up for ever. */
  async unattended(clock: Clock, limitMs: number): Promise<void> {
    if (this.#attached === 0) return;
    const stop = new AbortController();
    await Promise.race([this.#idle.promise, clock.sleep(limitMs, stop.signal).catch(() => undefined)]);
    stop.abort();
  }
}

export class LiveTable {
  readonly #entries = new Map<string, Live>();

  of(id: string): Live {
    let live = this.#entries.get(id);
    if (!live) {
      live = new Live();
      this.#entries.set(id, live);
    }
    return live;
  }

  drop(id: string): void {
    this.#entries.get(id)?.markRemoved();
    this.#entries.delete(id);
  }

  running(): [string, Run][] {
    return [...this.#entries].flatMap(([id, live]) => (live.run ? [[id, live.run]] : []));
  }
}
