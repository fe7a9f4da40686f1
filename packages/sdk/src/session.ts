/** The client's end of an upgraded connection: a process's streams, its terminal size, its signals and its exit. */
import { type Duplex, Readable, Writable } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract/errors';
import { encodeFrame, encodeResize, FRAME, FrameDecoder } from '@bulkhead/contract/stream';
import { toError } from './transport.ts';

/** Well below the frame limit, so that a huge write does not stall signals and resizes behind it. */
const STDIN_FRAME_BYTES = 256 * 1024;

export class Session {
  /** Ending it tells the process that its input is over; the session goes on. */
  readonly stdin: Writable;
  /** Both must be read (or resumed): one that is full holds the connection back. */
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** The exit code. Rejects where the engine reports an error or goes away before it. */
  readonly exit: Promise<number>;
  readonly #socket: Duplex;
  readonly #decoder = new FrameDecoder();
  #settle!: { resolve: (code: number) => void; reject: (error: Error) => void };
  #over = false;

  constructor(socket: Duplex, head: Buffer) {
    this.#socket = socket;
    this.exit = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Whoever closes a session may well not wait for it.
    this.exit.catch(() => {});
    const resume = () => {
      socket.resume();
    };
    this.stdout = new Readable({ read: resume });
    this.stderr = new Readable({ read: resume });
    this.stdin = new Writable({
      write: (chunk: Buffer, _encoding, done) => this.#writeStdin(chunk, done),
      final: (done) => {
        this.#send(encodeFrame(FRAME.stdinEnd));
        done();
      },
    });
    // Input for a process that has gone is dropped, as a terminal would.
    this.stdin.on('error', () => {});
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => this.#lost(error));
    socket.on('end', () => this.#lost());
    socket.on('close', () => this.#lost());
    if (head.length > 0) this.#receive(head);
  }

  resize(columns: number, rows: number): void {
    this.#send(encodeResize(columns, rows));
  }

  /** `name` without `SIG`, e.g. `TERM`. */
  signal(name: string): void {
    this.#send(encodeFrame(FRAME.signal, Buffer.from(name)));
  }

  /** Leaves; the process runs on. */
  close(): void {
    this.#finish();
    this.#socket.destroy();
    this.#settle.reject(new Error('the session was closed'));
  }

  #send(frame: Buffer): void {
    if (!this.#over && this.#socket.writable) this.#socket.write(frame);
  }

  #writeStdin(chunk: Buffer, done: (error?: Error | null) => void): void {
    if (this.#over || !this.#socket.writable) {
      done();
      return;
    }
    let at = 0;
    const next = (): void => {
      const part = chunk.subarray(at, at + STDIN_FRAME_BYTES);
      at += part.length;
      const last = at >= chunk.length;
      this.#socket.write(encodeFrame(FRAME.stdin, part), () => (last ? done() : next()));
    };
    next();
  }

  #receive(chunk: Buffer): void {
    try {
      for (const { type, payload } of this.#decoder.feed(chunk)) this.#handle(type, payload);
    } catch (error) {
      this.#socket.destroy(error as Error);
    }
  }

  #handle(type: number, payload: Buffer): void {
    if (this.#over) return;
    if (type === FRAME.stdout || type === FRAME.stderr) {
      const stream = type === FRAME.stdout ? this.stdout : this.stderr;
      if (payload.length > 0 && !stream.push(payload)) this.#socket.pause();
    } else if (type === FRAME.exit) {
      this.#finish();
      this.#socket.end();
      this.#settle.resolve(exitCodeOf(payload));
    } else if (type === FRAME.error) {
      this.#finish();
      this.#socket.end();
      this.#settle.reject(toError(parse(payload), payload.toString('utf8')));
    }
  }

  #lost(cause?: Error): void {
    if (this.#over) return;
    this.#finish();
    this.#settle.reject(
      new BulkheadError('engine_unreachable', 'the connection to the engine was lost; the task runs on', {
        hint: 'Start the engine with `bulkhead up` if it is down, then `bulkhead attach` again.',
        cause,
      }),
    );
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.stdout.push(null);
    this.stderr.push(null);
  }
}

/** Payload of an exit frame: u32 big-endian, or JSON with `exitCode`. */
function exitCodeOf(payload: Buffer): number {
  if (payload.length === 4) return payload.readInt32BE(0);
  if (payload.length === 1) return payload.readUInt8(0);
  const value = parse(payload) as number | { exitCode?: number; code?: number } | undefined;
  if (typeof value === 'number') return value;
  return value?.exitCode ?? value?.code ?? 125;
}

function parse(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString('utf8'));
  } catch {
    return undefined;
  }
}
