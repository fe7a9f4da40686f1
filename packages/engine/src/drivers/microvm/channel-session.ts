/** Streams of one guest process over the shared channel: each moves only as many bytes as its receiver has granted. */
import { Readable, Writable } from 'node:stream';
import type { Session } from '../../ports/driver.ts';
import { MAX_BODY_BYTES, ProtocolViolation } from './channel-frame.ts';

/** Bytes a stream may be ahead of its reader, in both directions. */
export const WINDOW_BYTES = 256 * 1024;

/** What a stream needs of the channel. */
export interface SessionLine {
  stdin(chunk: Buffer): void;
  stdinEnd(): void;
  /** Grants the guest more bytes on output 1 (stdout) or 2 (stderr). */
  grant(output: 1 | 2, bytes: number): void;
  resize(columns: number, rows: number): void;
  hangUp(): void;
}

/** Output of the guest; gives credit back as its reader takes the bytes. */
export class GuestOutput extends Readable {
  readonly #grant: (bytes: number) => void;
  #queue: Buffer[] = [];
  #credit = WINDOW_BYTES;
  #owed = 0;
  #ended = false;
  #wanted = false;

  constructor(grant: (bytes: number) => void) {
    super({ highWaterMark: 64 * 1024 });
    this.#grant = grant;
  }

  /** Throws ProtocolViolation when the guest sends more than it was granted. */
  receive(chunk: Buffer): void {
    if (chunk.length > this.#credit) throw new ProtocolViolation('the guest sends more than it was granted');
    this.#credit -= chunk.length;
    if (this.destroyed) {
      this.#repay(chunk.length);
      return;
    }
    this.#queue.push(Buffer.from(chunk));
    this.#flow();
  }

  finish(): void {
    this.#ended = true;
    this.#flow();
  }

  override _read(): void {
    this.#wanted = true;
    this.#flow();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    for (const chunk of this.#queue) this.#repay(chunk.length);
    this.#queue = [];
    done(error);
  }

  #flow(): void {
    while (this.#wanted && this.#queue.length > 0) {
      const chunk = this.#queue.shift()!;
      this.#wanted = this.push(chunk);
      this.#repay(chunk.length);
    }
    if (this.#ended && this.#queue.length === 0 && !this.destroyed) {
      this.#ended = false;
      this.push(null);
    }
  }

  #repay(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed < WINDOW_BYTES / 4) return;
    this.#credit += this.#owed;
    this.#grant(this.#owed);
    this.#owed = 0;
  }
}

/** Input of the guest; waits for the guest's credit. */
export class GuestInput extends Writable {
  readonly #line: Pick<SessionLine, 'stdin' | 'stdinEnd'>;
  #credit: number;
  #waiting: { chunk: Buffer; done: () => void } | undefined;
  #closed = false;
  readonly #spent: (bytes: number) => void;

  constructor(
    line: Pick<SessionLine, 'stdin' | 'stdinEnd'>,
    creditBytes: number,
    spent: (bytes: number) => void = () => undefined,
  ) {
    super({ highWaterMark: 64 * 1024, decodeStrings: true });
    this.#line = line;
    this.#credit = creditBytes;
    this.#spent = spent;
  }

  /** Throws ProtocolViolation when the grants add up to more than a window. */
  grant(bytes: number): void {
    this.#credit += bytes;
    if (this.#credit > WINDOW_BYTES) throw new ProtocolViolation('the guest grants more than a window');
    this.#flow();
  }

  /** The process is gone: what is left goes nowhere, and nobody waits for it. */
  finish(): void {
    this.#closed = true;
    this.#flow();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#waiting = { chunk, done };
    this.#flow();
  }

  override _final(done: () => void): void {
    if (!this.#closed) this.#line.stdinEnd();
    done();
  }

  #flow(): void {
    const waiting = this.#waiting;
    if (!waiting) return;
    while (!this.#closed && waiting.chunk.length > 0 && this.#credit > 0) {
      const part = waiting.chunk.subarray(0, Math.min(this.#credit, MAX_BODY_BYTES));
      this.#credit -= part.length;
      this.#spent(part.length);
      waiting.chunk = waiting.chunk.subarray(part.length);
      this.#line.stdin(part);
    }
    if (!this.#closed && waiting.chunk.length > 0) return;
    this.#waiting = undefined;
    waiting.done();
  }
}

/** An exec: both outputs, the input and the exit code. */
export class GuestSession implements Session {
  readonly stdin: GuestInput;
  readonly stdout: GuestOutput;
  readonly stderr: GuestOutput;
  readonly exit: Promise<number>;
  readonly #line: SessionLine;
  readonly #exit = Promise.withResolvers<number>();
  #over = false;

  constructor(line: SessionLine) {
    this.#line = line;
    this.stdin = new GuestInput(line, WINDOW_BYTES);
    this.stdout = new GuestOutput((bytes) => line.grant(1, bytes));
    this.stderr = new GuestOutput((bytes) => line.grant(2, bytes));
    this.exit = this.#exit.promise;
    // A caller may not look at `exit` before the channel breaks.
    this.exit.catch(() => undefined);
  }

  resize(columns: number, rows: number): void {
    if (!this.#over) this.#line.resize(columns, rows);
  }

  close(): void {
    if (!this.#over) this.#line.hangUp();
    this.stdin.finish();
    this.stdin.destroy();
    this.stdout.destroy();
    this.stderr.destroy();
  }

  /** The guest said how it ended, or the channel did. */
  finish(outcome: number | Error): void {
    if (this.#over) return;
    this.#over = true;
    this.stdin.finish();
    this.stdout.finish();
    this.stderr.finish();
    if (typeof outcome === 'number') this.#exit.resolve(outcome);
    else this.#exit.reject(outcome);
  }
}
