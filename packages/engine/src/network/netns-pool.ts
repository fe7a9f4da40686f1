/** Keeps a few netns of one network ready, so that a start never waits for one to be made. A used one never comes back. */
import type { Slot } from './netns.ts';

/** A refill right after an acquire would compete with the very start it serves; with the last one gone there is no choice. */
const REFILL_DELAY_MS = 150;
const LARGEST_BATCH = 16;

export class NetnsPool {
  readonly #make: (count: number) => Promise<Slot[]>;
  readonly #size: number;
  #ready: Slot[] = [];
  #waiting: { resolve: (slot: Slot) => void; reject: (error: unknown) => void }[] = [];
  #filling: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Taken since the last refill began: a burst is answered with a larger batch. */
  #taken = 0;
  #closed = false;

  constructor(size: number, make: (count: number) => Promise<Slot[]>) {
    this.#size = size;
    this.#make = make;
  }

  get ready(): readonly Slot[] {
    return this.#ready;
  }

  /** A slot at once, or undefined. */
  take(): Slot | undefined {
    this.#taken += 1;
    const slot = this.#ready.shift();
    clearTimeout(this.#timer);
    if (this.#ready.length === 0) this.fill();
    else this.#timer = setTimeout(() => this.fill(), REFILL_DELAY_MS).unref();
    return slot;
  }

  /** A slot as soon as one can be made. */
  next(): Promise<Slot> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.fill();
    });
  }

  /** Begins to fill up in the background. */
  fill(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#closed) {
      this.#refuse(new Error('the network has been removed'));
      return;
    }
    this.#filling ??= this.#fillUp().finally(() => {
      this.#filling = undefined;
      if (this.#waiting.length > 0) this.fill();
    });
  }

  async #fillUp(): Promise<void> {
    while (!this.#closed) {
      const target = Math.min(LARGEST_BATCH, Math.max(this.#size, this.#taken));
      const missing = this.#waiting.length + target - this.#ready.length;
      if (missing <= 0) return;
      this.#taken = 0;
      try {
        this.#ready.push(...(await this.#make(Math.min(missing, LARGEST_BATCH))));
      } catch (error) {
        return this.#refuse(error);
      }
      while (this.#waiting.length > 0 && this.#ready.length > 0)
        this.#waiting.shift()?.resolve(this.#ready.shift() as Slot);
    }
  }

  #refuse(error: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  /** Stops, and hands out what was ready so that it can be removed. */
  async close(): Promise<Slot[]> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#filling;
    this.#refuse(new Error('the network has been removed'));
    return this.#ready.splice(0);
  }
}
