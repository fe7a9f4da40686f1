/** The engine's end of a guest's control channel (guest/PROTOCOL.md). Nothing the guest says is taken on trust: a violation ends the channel. */
import type { Socket } from 'node:net';
import { BulkheadError } from '@bulkhead/contract';
import type { Attachment } from '../../ports/driver.ts';
import { type ConnectOptions, greet } from './channel-connect.ts';
import {
  encodeFrame,
  encodeRequest,
  type Frame,
  FrameDecoder,
  ProtocolViolation,
  ToGuest,
  ToHost,
} from './channel-frame.ts';
import {
  decodeError,
  decodeHello,
  encodeConfig,
  encodeProcess,
  encodeSize,
  encodeU32,
  encodeU64,
  MessageReader,
} from './channel-message.ts';
import { GuestInput, type GuestOutput, GuestSession, type SessionLine, WINDOW_BYTES } from './channel-session.ts';
import type { GuestConfig, GuestHello, GuestProcess } from './channel-types.ts';

export type { GuestConfig, GuestHello, GuestMount, GuestProcess, GuestTmpfs } from './channel-types.ts';

/** The task's own stream; requests and execs take numbers from 1 on. */
const TASK = 0;
const REQUEST_TIMEOUT_MS = 60_000;
const MAX_PENDING_REQUESTS = 1024;

interface Pending {
  resolve(body: Buffer): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

export class GuestChannel {
  readonly hello: GuestHello;
  /** Resolves when the channel has ended, for whatever reason; see `failure`. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #closed = Promise.withResolvers<void>();
  readonly #taskExit = Promise.withResolvers<{ code: number; oomKilled: boolean }>();
  readonly #decoder = new FrameDecoder();
  readonly #pending = new Map<number, Pending>();
  readonly #sessions = new Map<number, GuestSession>();
  #taskInput: GuestInput | undefined;
  #taskCreditBytes: number;
  #nextStream = 1;
  #over = false;
  #failure: Error | undefined;

  /** Retries until the agent answers its hello. Throws BulkheadError `timeout`. */
  static async connect(socketPath: string, options: ConnectOptions): Promise<GuestChannel> {
    const { socket, received } = await greet(socketPath, options);
    try {
      return new GuestChannel(socket, received);
    } catch (error) {
      socket.destroy();
      throw new BulkheadError('start_failed', `The guest broke the protocol: ${(error as Error).message}`);
    }
  }

  private constructor(socket: Socket, received: Buffer) {
    this.#socket = socket;
    this.closed = this.#closed.promise;
    this.#taskExit.promise.catch(() => undefined);
    const [first, ...rest] = [...this.#decoder.push(received)];
    if (!first) throw new ProtocolViolation('the hello is incomplete');
    const { taskStdinWindowBytes, ...hello } = decodeHello(first.body);
    if (taskStdinWindowBytes > WINDOW_BYTES) throw new ProtocolViolation('the guest grants more than a window');
    this.hello = hello;
    this.#taskCreditBytes = taskStdinWindowBytes;
    for (const frame of rest) this.#take(frame);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('close', () => this.#end(undefined));
    socket.resume();
    if (socket.destroyed) this.#end(undefined);
  }

  /** Why the channel ended, where the guest broke the protocol. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Mounts, network, clock, randomness, names. Once per guest. */
  async configure(config: GuestConfig): Promise<void> {
    await this.#request(ToGuest.configure, encodeConfig(config));
  }

  /** Throws BulkheadError `command_not_found`, `command_not_executable`, `invalid_user`, `start_failed`. */
  async startTask(process: GuestProcess): Promise<{ pid: number }> {
    const answer = await this.#request(ToGuest.start, encodeProcess(process));
    this.hello.taskStarted = true;
    return { pid: answer.u32() };
  }

  async exec(process: GuestProcess): Promise<GuestSession> {
    const stream = this.#newStream();
    const session = new GuestSession(this.#line(stream));
    // Output may come in the same chunk as the answer, so the session must be known before.
    this.#sessions.set(stream, session);
    try {
      await this.#request(ToGuest.exec, encodeProcess(process), stream);
    } catch (error) {
      this.#sessions.delete(stream);
      session.close();
      throw error;
    }
    return session;
  }

  /** Input of the task's main process; the latest attachment receives the credit. */
  taskStdin(): Attachment {
    const line = this.#line(TASK);
    const stdin = new GuestInput(line, this.#taskCreditBytes, (bytes) => {
      this.#taskCreditBytes -= bytes;
    });
    this.#taskInput?.finish();
    this.#taskInput = stdin;
    return {
      stdin,
      resize: (columns, rows) => line.resize(columns, rows),
      close: () => {
        stdin.finish();
        stdin.destroy();
        if (this.#taskInput === stdin) this.#taskInput = undefined;
      },
    };
  }

  /** Resolves when the task has ended; rejects when the channel ends first. */
  waitTask(): Promise<{ code: number; oomKilled: boolean }> {
    return this.#taskExit.promise;
  }

  async signalTask(signal: number): Promise<void> {
    await this.#request(ToGuest.signal, encodeU32(signal));
  }

  async stats(): Promise<{ cpuNanoseconds: number; memoryBytes: number; pids: number }> {
    const answer = await this.#request(ToGuest.stats, Buffer.alloc(0));
    return { cpuNanoseconds: answer.u64(), memoryBytes: answer.u64(), pids: answer.u32() };
  }

  async syncClock(unixTimeMs: number): Promise<void> {
    await this.#request(ToGuest.clock, encodeU64(unixTimeMs));
  }

  /** Acknowledges the exit; the agent syncs, unmounts and powers off. Resolves once the agent has agreed. */
  async powerOff(): Promise<void> {
    await this.#request(ToGuest.powerOff, Buffer.alloc(0));
  }

  close(): void {
    this.#end(undefined);
  }

  #line(stream: number): SessionLine {
    return {
      stdin: (chunk) => this.#send(encodeFrame(ToGuest.stdin, stream, chunk)),
      stdinEnd: () => this.#send(encodeFrame(ToGuest.stdinEnd, stream)),
      grant: (output, bytes) => {
        if (!this.#sessions.has(stream)) return;
        this.#send(encodeFrame(ToGuest.window, stream, Buffer.concat([Buffer.from([output]), encodeU32(bytes)])));
      },
      resize: (columns, rows) => this.#send(encodeFrame(ToGuest.resize, stream, encodeSize(columns, rows))),
      hangUp: () => this.#send(encodeFrame(ToGuest.hangUp, stream)),
    };
  }

  #newStream(): number {
    const stream = this.#nextStream;
    this.#nextStream = stream === 0xffff_ffff ? 1 : stream + 1;
    return stream;
  }

  #request(type: number, body: Buffer, stream: number = this.#newStream()): Promise<MessageReader> {
    const answer = Promise.withResolvers<Buffer>();
    if (this.#over) answer.reject(new BulkheadError('wrong_state', 'The channel to the guest is closed'));
    else if (this.#pending.size >= MAX_PENDING_REQUESTS)
      answer.reject(new BulkheadError('timeout', 'The guest does not answer its requests'));
    else {
      const timer = setTimeout(() => {
        this.#pending.delete(stream);
        answer.reject(new BulkheadError('timeout', `The guest did not answer within ${REQUEST_TIMEOUT_MS} ms`));
      }, REQUEST_TIMEOUT_MS);
      this.#pending.set(stream, { ...answer, timer });
      for (const frame of encodeRequest(type, stream, body)) this.#send(frame);
    }
    return answer.promise.then((bytes) => new MessageReader(bytes));
  }

  #send(frame: Buffer): void {
    if (!this.#over) this.#socket.write(frame);
  }

  #receive(chunk: Buffer): void {
    if (this.#over) return;
    try {
      for (const frame of this.#decoder.push(chunk)) this.#take(frame);
    } catch (error) {
      this.#end(error as Error);
    }
  }

  /** Throws ProtocolViolation. A late frame for something already forgotten is no violation. */
  #take({ type, stream, body }: Frame): void {
    const session = this.#sessions.get(stream);
    if (type === ToHost.stdout || type === ToHost.stderr) {
      const output: GuestOutput | undefined = type === ToHost.stdout ? session?.stdout : session?.stderr;
      output?.receive(body);
    } else if (type === ToHost.ok) this.#settle(stream)?.resolve(Buffer.from(body));
    else if (type === ToHost.error) this.#settle(stream)?.reject(decodeError(body));
    else if (type === ToHost.exit) this.#exit(stream, body);
    else if (type === ToHost.window) this.#granted(stream, session, body);
    // A hello answers a repeated question; nothing is new in it.
  }

  #exit(stream: number, body: Buffer): void {
    const reader = new MessageReader(body);
    const code = reader.u32();
    const oomKilled = reader.u8() === 1;
    reader.end();
    if (code > 255) throw new ProtocolViolation(`exit code ${code}`);
    if (stream === TASK) {
      this.#taskExit.resolve({ code, oomKilled });
      this.#taskInput?.finish();
      return;
    }
    this.#sessions.get(stream)?.finish(code);
    this.#sessions.delete(stream);
  }

  #granted(stream: number, session: GuestSession | undefined, body: Buffer): void {
    const reader = new MessageReader(body);
    const bytes = reader.u32();
    reader.end();
    if (stream !== TASK) {
      session?.stdin.grant(bytes);
      return;
    }
    this.#taskCreditBytes += bytes;
    if (this.#taskCreditBytes > WINDOW_BYTES) throw new ProtocolViolation('the guest grants more than a window');
    this.#taskInput?.grant(bytes);
  }

  #settle(stream: number): Pending | undefined {
    const pending = this.#pending.get(stream);
    this.#pending.delete(stream);
    clearTimeout(pending?.timer);
    return pending;
  }

  #end(failure: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#failure = failure;
    this.#socket.destroy();
    const lost = failure
      ? new BulkheadError('internal', `The guest broke the protocol: ${failure.message}`, {
          hint: 'The guest is not to be trusted any more; remove the instance.',
        })
      : new BulkheadError('wrong_state', 'The channel to the guest is closed');
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(lost);
    }
    this.#pending.clear();
    for (const session of this.#sessions.values()) session.finish(failure ? lost : 137);
    this.#sessions.clear();
    this.#taskInput?.finish();
    this.#taskExit.reject(lost);
    this.#closed.resolve();
  }
}
