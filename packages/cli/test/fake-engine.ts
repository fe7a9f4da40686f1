/** A server that speaks the contract on a temporary unix socket, with answers a test gives; it runs nothing. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex, Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BulkheadError, ERRORS } from '@bulkhead/contract/errors';
import { ROUTES, type Route, type RouteName } from '@bulkhead/contract/routes';
import { encodeFrame, FRAME, FrameDecoder, type FrameType } from '@bulkhead/contract/stream';
import type { InstanceSummary } from '@bulkhead/contract/types';

export interface FakeCall {
  route: RouteName;
  params: Record<string, string>;
  query: URLSearchParams;
  body: unknown;
  upload: Buffer;
}

export class FakeStream {
  readonly #socket: Duplex;
  readonly #decoder = new FrameDecoder();

  constructor(socket: Duplex) {
    this.#socket = socket;
  }
  send(type: FrameType, payload: string | Uint8Array = ''): void {
    this.#socket.write(encodeFrame(type, typeof payload === 'string' ? Buffer.from(payload) : payload));
  }
  exit(code: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(code);
    this.#socket.end(encodeFrame(FRAME.exit, payload));
  }
  cut(): void {
    this.#socket.destroy();
  }
  async *frames(): AsyncGenerator<{ type: number; payload: Buffer }> {
    for await (const chunk of this.#socket as AsyncIterable<Buffer>) yield* this.#decoder.feed(chunk);
  }
}

type Answer = (call: FakeCall) => unknown;
type Conversation = (stream: FakeStream, call: FakeCall) => Promise<void> | void;
/** `runInstance` is answered by `createInstance` and then `attach`. */
export type Answers = Partial<Record<Exclude<RouteName, 'attach' | 'startExec' | 'runInstance'>, Answer>> & {
  attach?: Conversation;
  startExec?: Conversation;
};

const CONVERSATIONS: Partial<Record<RouteName, 'attach' | 'startExec'>> = {
  attach: 'attach',
  startExec: 'startExec',
  runInstance: 'attach',
};

export class FakeEngine {
  readonly socket: string;
  readonly directory: string;
  readonly calls: FakeCall[] = [];
  readonly #server: http.Server;

  private constructor(directory: string, answers: Answers) {
    this.directory = directory;
    this.socket = join(directory, 'api.sock');
    this.#server = http.createServer((request, response) => void this.#answer(answers, request, response));
    this.#server.on('upgrade', (request, socket, head) => void this.#upgrade(answers, request, socket, head));
  }

  static async start(t: TestContext, answers: Answers): Promise<FakeEngine> {
    const directory = mkdtempSync(join(tmpdir(), 'bulkhead-cli-'));
    const engine = new FakeEngine(directory, answers);
    t.after(() => {
      engine.#server.closeAllConnections();
      engine.#server.close();
      rmSync(directory, { recursive: true, force: true });
    });
    await new Promise<void>((resolve) => engine.#server.listen(engine.socket, resolve));
    return engine;
  }

  called(route: RouteName): FakeCall[] {
    return this.calls.filter((call) => call.route === route);
  }

  #match(request: http.IncomingMessage): FakeCall | undefined {
    const url = new URL(request.url ?? '/', 'http://bulkhead');
    // Fixed addresses go before those with parameters.
    const routes = Object.entries(ROUTES).sort(
      ([, a], [, b]) => Number(a.path.includes(':')) - Number(b.path.includes(':')),
    );
    for (const [name, route] of routes as [RouteName, Route][]) {
      if (route.method !== request.method) continue;
      const keys: string[] = [];
      const pattern = route.path.replace(/:(\w+)/g, (_, key: string) => {
        keys.push(key);
        return '([^/]+)';
      });
      const match = new RegExp(`^${pattern}$`).exec(url.pathname);
      if (!match) continue;
      const params = Object.fromEntries(keys.map((key, index) => [key, decodeURIComponent(match[index + 1]!)]));
      const call = { route: name, params, query: url.searchParams, body: undefined, upload: Buffer.alloc(0) };
      this.calls.push(call);
      return call;
    }
    return undefined;
  }

  async #answer(answers: Answers, request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const call = this.#match(request);
    const fail = (error: BulkheadError): void => {
      response.writeHead(ERRORS[error.code].status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(error.toBody()));
    };
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const answer = call && (answers as Partial<Record<RouteName, Answer>>)[call.route];
    if (!call || !answer) return fail(new BulkheadError('not_found', `no answer to ${request.method} ${request.url}`));
    call.upload = Buffer.concat(chunks);
    if (request.headers['content-type'] === 'application/json') call.body = JSON.parse(call.upload.toString());
    try {
      const value = await answer(call);
      if (value instanceof Buffer) response.end(value);
      else if (value && typeof value === 'object' && Symbol.asyncIterator in value) await sendLines(value, response);
      else response.end(value === undefined ? undefined : JSON.stringify(value));
    } catch (error) {
      if (error instanceof BulkheadError) fail(error);
      else throw error;
    }
  }

  async #upgrade(answers: Answers, request: http.IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const call = this.#match(request);
    const conversation = call && answers[CONVERSATIONS[call.route] ?? 'attach'];
    socket.on('error', () => {});
    const refuse = (error: BulkheadError): void => {
      const body = JSON.stringify(error.toBody());
      socket.end(
        `HTTP/1.1 ${ERRORS[error.code].status} Refused\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      );
    };
    if (call?.route === 'runInstance') {
      const length = Number(request.headers['content-length']);
      call.upload = head;
      while (call.upload.length < length)
        call.upload = Buffer.concat([call.upload, ...((await once(socket, 'data')) as Buffer[])]);
      socket.pause();
      call.body = JSON.parse(call.upload.toString());
      try {
        await answers.createInstance?.(call);
      } catch (error) {
        return refuse(error as BulkheadError);
      }
    }
    if (!conversation) return refuse(new BulkheadError('no_such_instance', 'no such instance'));
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: bulkhead-stream\r\n\r\n');
    void conversation(new FakeStream(socket), call!);
  }
}

async function sendLines(values: object, response: http.ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  try {
    for await (const value of values as AsyncIterable<unknown>) response.write(`${JSON.stringify(value)}\n`);
  } catch (error) {
    response.write(`${JSON.stringify({ error: (error as BulkheadError).toBody() })}\n`);
  }
  response.end();
}

export const ID = '0123456789abcdef0123456789abcdef';

export function instance(changes: Partial<InstanceSummary> = {}): InstanceSummary {
  return {
    id: ID,
    name: 'calm_otter',
    image: 'alpine:3',
    imageId: `sha256:${'a'.repeat(64)}`,
    command: ['sleep', '100'],
    level: 'container',
    trust: 'trusted',
    state: 'running',
    health: 'none',
    oomKilled: false,
    restartCount: 0,
    ports: [],
    networks: ['default'],
    labels: {},
    mounts: [],
    createdAt: Date.now() - 70_000,
    startedAt: Date.now() - 3_500,
    ...changes,
  };
}

export const LAUNCHER = fileURLToPath(new URL('../../../bulkhead', import.meta.url));

export interface Outcome {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: Buffer;
  stderr: string;
}

export interface RunOptions {
  input?: string | Buffer;
  cwd?: string;
  env?: Record<string, string>;
  /** Called once the child runs. */
  started?: (child: ChildProcess) => void;
}

/** The real launcher as a process, against `socket`. */
export async function bulkhead(socket: string, args: string[], options: RunOptions = {}): Promise<Outcome> {
  const child = spawn(LAUNCHER, args, {
    env: { ...process.env, BULKHEAD_HOST: socket, NO_COLOR: '1', ...options.env },
    cwd: options.cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: 20_000,
  });
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  options.started?.(child);
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
    child.once('close', (...ended) => resolve(ended)),
  );
  return { code, signal, stdout: await stdout, stderr: (await stderr).toString() };
}

async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
