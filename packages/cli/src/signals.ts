/** Passes the signals the CLI gets on to the task; those that come before there is one wait for it. */
import { constants } from 'node:os';

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;

/** So many SIGINT or SIGTERM without an end, and the CLI leaves by itself. */
const PATIENCE = 3;

export class SignalForwarder {
  #send: ((name: string) => void) | undefined;
  readonly #waiting: string[] = [];
  #asked = 0;

  /** From now on signals no longer end the CLI. */
  hold(): void {
    for (const signal of FORWARDED) process.on(signal, () => this.#receive(signal));
  }

  passTo(send: (name: string) => void): void {
    this.#send = send;
    for (const name of this.#waiting.splice(0)) send(name);
  }

  #receive(signal: (typeof FORWARDED)[number]): void {
    const name = signal.slice(3);
    if (this.#send) this.#send(name);
    else this.#waiting.push(name);
    if (signal !== 'SIGINT' && signal !== 'SIGTERM') return;
    this.#asked++;
    if (this.#asked < PATIENCE) return;
    process.stderr.write(`bulkhead: got ${PATIENCE} signals to end, leaving; the task may run on\n`);
    process.exit(128 + constants.signals[signal]);
  }
}
