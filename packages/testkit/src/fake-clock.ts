/** Time that passes only when the test says so. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '@bulkhead/engine';

interface Sleeper {
  at: number;
  wake: () => void;
}

export class FakeClock implements Clock {
  #now = 1_700_000_000_000;
  #sleepers: Sleeper[] = [];
  /** Every delay that was asked for, in order. */
  readonly delays: number[] = [];

  now(): number {
    return this.#now;
  }

  newId(): string {
    return randomBytes(16).toString('hex');
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.delays.push(ms);
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const sleeper = { at: this.#now + ms, wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener('abort', () => {
        this.#sleepers = this.#sleepers.filter((each) => each !== sleeper);
        reject(signal.reason);
      });
    });
  }

  /** Wakes sleepers in order of their time, and lets what they cause happen before the next. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (;;) {
      await settle();
      const next = this.#sleepers.filter((each) => each.at <= until).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#sleepers = this.#sleepers.filter((each) => each !== next);
      this.#now = Math.max(this.#now, next.at);
      next.wake();
    }
    this.#now = until;
    await settle();
  }
}

async function settle(): Promise<void> {
  for (let round = 0; round < 20; round++) await new Promise((resolve) => setImmediate(resolve));
}
