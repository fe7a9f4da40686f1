/** One control channel per running guest, opened when first needed and again after it was lost. */
import { BulkheadError } from '@bulkhead/contract';
import type { Supervisor } from '../../ports/supervisor.ts';
import { GuestChannel } from './channel.ts';

/** A guest on a busy host without KVM takes its time. */
const RECONNECT_LIMIT_MS = 20_000;
/** Between the looks whether the monitor still lives. */
const SLICE_MS = 5_000;

export class GuestLines {
  readonly #supervisor: Supervisor;
  readonly #socketOf: (id: string) => string;
  readonly #open = new Map<string, Promise<GuestChannel>>();

  constructor(deps: { supervisor: Supervisor; socketOf: (id: string) => string }) {
    this.#supervisor = deps.supervisor;
    this.#socketOf = deps.socketOf;
  }

  /** Throws `timeout`, or `start_failed` as soon as the monitor has ended. `fresh`: nobody has spoken to this guest yet. */
  connect(id: string, options: { timeoutMs: number; fresh?: boolean }): Promise<GuestChannel> {
    const connecting = this.#dial(id, options);
    this.#open.set(id, connecting);
    const forget = (): void => {
      if (this.#open.get(id) === connecting) this.#open.delete(id);
    };
    connecting.then((channel) => void channel.closed.then(forget), forget);
    return connecting;
  }

  get(id: string): Promise<GuestChannel> {
    return this.#open.get(id) ?? this.connect(id, { timeoutMs: RECONNECT_LIMIT_MS });
  }

  async drop(id: string): Promise<void> {
    const opening = this.#open.get(id);
    this.#open.delete(id);
    (await opening?.catch(() => undefined))?.close();
  }

  async dropAll(): Promise<void> {
    await Promise.all([...this.#open.keys()].map((id) => this.drop(id)));
  }

  async #dial(id: string, options: { timeoutMs: number; fresh?: boolean }): Promise<GuestChannel> {
    let over = false;
    const ended = this.#supervisor.wait(id).then((exit): never => {
      over = true;
      throw new BulkheadError(
        'start_failed',
        `the virtual machine ended (code ${exit.code}) before its agent answered`,
      );
    });
    ended.catch(() => {});
    try {
      return await Promise.race([this.#greet(id, options, () => over), ended]);
    } finally {
      over = true;
    }
  }

  async #greet(
    id: string,
    options: { timeoutMs: number; fresh?: boolean },
    over: () => boolean,
  ): Promise<GuestChannel> {
    const deadline = performance.now() + options.timeoutMs;
    let fresh = options.fresh ?? false;
    for (;;) {
      const timeoutMs = Math.min(SLICE_MS, Math.max(1, deadline - performance.now()));
      try {
        const channel = await GuestChannel.connect(this.#socketOf(id), { timeoutMs, fresh });
        if (!over()) return channel;
        channel.close();
      } catch (error) {
        if (!over() && performance.now() < deadline && (error as BulkheadError).code === 'timeout') {
          fresh = false;
          continue;
        }
        throw error;
      }
      throw new BulkheadError('wrong_state', 'nobody waits for this guest any more');
    }
  }
}
