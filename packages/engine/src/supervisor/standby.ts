/** A few supervisors that are up before their task is: a start then waits neither for conmon nor for its cgroup. */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Standby, StandbyMaker, SupervisedRun } from '../ports/supervisor.ts';

/** Made ready no sooner: it would compete with the very start it is to help. */
const REFILL_DELAY_MS = 120;
const READY_LIMIT_MS = 2_000;
const READY_POLL_MS = 10;

interface Ready {
  id: string;
  /** Others would not do, e.g. with another limit of the log. */
  kind: string;
  answer: Promise<number>;
  /** The writing end: should the engine die, the wrapper reads its end and ends, too. */
  fifo: number;
  discard: (id: string) => Promise<void>;
}

export class StandbyPool implements Standby {
  readonly #launch: (run: SupervisedRun) => Promise<number>;
  readonly #fifoOf: (id: string) => string;
  #ready: Ready[] = [];
  /** Handed out as an id, not yet told to go. */
  readonly #taken = new Map<string, Ready>();
  #timer: NodeJS.Timeout | undefined;
  #filling: Promise<void> = Promise.resolve();
  #closed = false;

  /** `launch` resolves with conmon's answer once its wrapper, which waits for `fifoOf`, has gone on. */
  constructor(launch: (run: SupervisedRun) => Promise<number>, fifoOf: (id: string) => string) {
    this.#launch = launch;
    this.#fifoOf = fifoOf;
  }

  take(kind: string): string | undefined {
    const index = this.#ready.findIndex((each) => each.kind === kind);
    const [ready] = index < 0 ? [] : this.#ready.splice(index, 1);
    if (ready === undefined) return undefined;
    this.#taken.set(ready.id, ready);
    return ready.id;
  }

  /** Fills up in a moment of quiet; those of another kind go. */
  refill(kind: string, size: number, maker: StandbyMaker): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#filling = this.#filling.then(() => this.#fill(kind, size, maker)).catch(() => {});
    }, REFILL_DELAY_MS).unref();
  }

  async #fill(kind: string, size: number, maker: StandbyMaker): Promise<void> {
    for (const other of this.#ready.filter((each) => each.kind !== kind)) await this.#drop(other);
    while (!this.#closed && this.#ready.length < size) {
      const run = maker.prepare();
      const answer = this.#launch(run);
      answer.catch(() => {});
      const fifo = await openedFifo(this.#fifoOf(run.id));
      if (fifo === undefined) return maker.discard(run.id);
      const ready: Ready = { id: run.id, kind, answer, fifo, discard: maker.discard };
      this.#ready.push(ready);
      // One that ends by itself is of no use to anybody.
      answer.catch(() => {
        if (this.#ready.includes(ready)) void this.#drop(ready).catch(() => {});
      });
    }
  }

  async #drop(ready: Ready): Promise<void> {
    this.#ready = this.#ready.filter((each) => each !== ready);
    closeSync(ready.fifo);
    await ready.discard(ready.id);
  }

  /** Lets a taken one go on, whose bundle is complete now: conmon's answer. Undefined where the id is an ordinary one. */
  go(id: string): Promise<number> | undefined {
    const ready = this.#taken.get(id);
    if (ready === undefined) return undefined;
    this.#taken.delete(id);
    try {
      writeSync(ready.fifo, 'go\n');
    } catch {
      // It has ended; its answer says why.
    }
    closeSync(ready.fifo);
    return ready.answer;
  }

  /** A taken one whose task never came to its start. */
  forget(id: string): void {
    const ready = this.#taken.get(id);
    if (ready === undefined) return;
    this.#taken.delete(id);
    closeSync(ready.fifo);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#filling;
    for (const ready of [...this.#ready]) await this.#drop(ready);
  }
}

/** Undefined where nobody came to read. */
async function openedFifo(fifo: string): Promise<number | undefined> {
  for (let waitedMs = 0; waitedMs < READY_LIMIT_MS; waitedMs += READY_POLL_MS) {
    await sleep(READY_POLL_MS);
    try {
      return openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch {
      // Not made yet, or nobody reads yet.
    }
  }
  return undefined;
}
