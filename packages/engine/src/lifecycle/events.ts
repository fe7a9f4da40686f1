/** What happened, stored and told to everybody who listens. */
import type { Clock } from '../ports/clock.ts';
import type { EventRecord, StateStore } from '../ports/state.ts';

export class Events {
  readonly #state: StateStore;
  readonly #clock: Clock;
  readonly #listeners = new Set<(event: EventRecord) => void>();

  constructor(deps: { state: StateStore; clock: Clock }) {
    this.#state = deps.state;
    this.#clock = deps.clock;
  }

  /** Call inside the transaction of what it reports; listeners hear of it after that commit. */
  record(type: EventRecord['type'], action: string, id: string, attributes: Record<string, string>): void {
    const event = this.#state.addEvent({ at: this.#clock.now(), type, action, id, attributes });
    queueMicrotask(() => {
      for (const listener of this.#listeners) listener(event);
    });
  }

  list(options: { sinceMs?: number; untilMs?: number }): EventRecord[] {
    return this.#state.listEvents(options);
  }

  /** Returns the function that ends it. */
  listen(listener: (event: EventRecord) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
