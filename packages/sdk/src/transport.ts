/** HTTP over the engine's unix socket: status, errors, upgrades. It knows nothing of single routes. */
import http from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { BulkheadError, ERRORS, type ErrorBody } from '@bulkhead/contract/errors';
import type { Route } from '@bulkhead/contract/routes';

export type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

export interface CallOptions {
  params?: Record<string, string>;
  query?: Query;
  body?: unknown;
  /** A tar stream as the request body. */
  upload?: Readable;
  signal?: AbortSignal;
}

export interface Upgraded {
  socket: Duplex;
  headers: http.IncomingHttpHeaders;
  /** Bytes that came in the same packet as the 101. */
  head: Buffer;
}

/** Answers longer than this are refused where they are read whole. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

export class Transport {
  readonly socketPath: string;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  /** Resolves with the answer's head once its status is good; rejects with what the engine said otherwise. */
  open(route: Route, options: CallOptions = {}): Promise<http.IncomingMessage> {
    return new Promise((resolve, reject) => {
      const request = this.#request(route, options, {});
      request.once('error', (error) => reject(this.#unreachable(error, options.signal)));
      request.once('response', (response) => {
        if (isGood(response)) resolve(response);
        else readError(response).then(reject, reject);
      });
      send(request, options);
    });
  }

  async json<T>(route: Route, options: CallOptions = {}): Promise<T> {
    const text = await readAll(await this.open(route, options));
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  /** One JSON value a line; throws at a last line `{"error": ...}`. Leaving the loop closes the connection. */
  async *lines<T>(route: Route, options: CallOptions = {}): AsyncGenerator<T, void, undefined> {
    const response = await this.open(route, options);
    response.setEncoding('utf8');
    let pending = '';
    try {
      for await (const chunk of response as AsyncIterable<string>) {
        const parts = (pending + chunk).split('\n');
        pending = parts.pop() ?? '';
        for (const part of parts) if (part.trim() !== '') yield parseLine<T>(part);
      }
      if (pending.trim() !== '') yield parseLine<T>(pending);
    } catch (error) {
      throw error instanceof BulkheadError ? error : this.#unreachable(error as Error, options.signal);
    } finally {
      response.destroy();
    }
  }

  upgrade(route: Route, options: CallOptions = {}): Promise<Upgraded> {
    return new Promise((resolve, reject) => {
      const request = this.#request(route, options, { connection: 'Upgrade', upgrade: 'bulkhead-stream' });
      request.once('error', (error) => reject(this.#unreachable(error, options.signal)));
      request.once('upgrade', ({ headers }, socket, head) => resolve({ headers, socket, head }));
      request.once('response', (response) => readError(response).then(reject, reject));
      send(request, options);
    });
  }

  #request(route: Route, options: CallOptions, headers: http.OutgoingHttpHeaders): http.ClientRequest {
    if (options.upload) headers['content-type'] = 'application/x-tar';
    else if (options.body !== undefined) headers['content-type'] = 'application/json';
    return http.request({
      socketPath: this.socketPath,
      method: route.method,
      path: address(route, options),
      headers: { host: 'bulkhead', ...headers },
      // A connection to a unix socket costs nothing, and a kept one could be stale after an engine restart.
      agent: false,
      ...(options.signal ? { signal: options.signal } : {}),
    });
  }

  #unreachable(error: Error & { code?: string }, signal?: AbortSignal): Error {
    if (error instanceof BulkheadError || signal?.aborted) return error;
    if (error.code === 'EACCES' || error.code === 'EPERM')
      return new BulkheadError('engine_unreachable', `no permission to use the engine's socket ${this.socketPath}`, {
        hint: 'Run as root, or join the group that owns the socket.',
        cause: error,
      });
    const gone = error.code === 'ENOENT' || error.code === 'ECONNREFUSED';
    const why = gone ? 'is not running' : `closed the connection (${error.code ?? error.message})`;
    return new BulkheadError('engine_unreachable', `the engine ${why}: ${this.socketPath}`, {
      ...(gone ? {} : { hint: "See the engine's log." }),
      cause: error,
    });
  }
}

function send(request: http.ClientRequest, options: CallOptions): void {
  if (options.upload) {
    options.upload.once('error', (error) => request.destroy(error));
    options.upload.pipe(request);
    return;
  }
  const body = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body));
  if (body) request.setHeader('content-length', body.length);
  request.end(body);
}

function isGood(response: http.IncomingMessage): boolean {
  const status = response.statusCode ?? 0;
  return status >= 200 && status < 300;
}

/** The path of `route` with its parameters and query filled in; `false` and `undefined` are left out. */
export function address(route: Route, options: CallOptions): string {
  const path = route.path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(options.params?.[name] ?? ''));
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options.query ?? {})) {
    if (value === undefined || value === false) continue;
    if (value === true) query.append(name, '1');
    else if (typeof value === 'object') for (const one of value) query.append(name, one);
    else query.append(name, String(value));
  }
  const text = query.toString();
  return text === '' ? path : `${path}?${text}`;
}

async function readAll(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) throw new BulkheadError('too_large', 'the answer of the engine is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function readError(response: http.IncomingMessage): Promise<BulkheadError> {
  const text = await readAll(response).catch(() => '');
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined;
  }
  return toError(body, `the engine answered ${response.statusCode} ${text.slice(0, 200)}`);
}

function parseLine<T>(line: string): T {
  const value = JSON.parse(line) as T & { error?: unknown };
  if (typeof value === 'object' && value !== null && typeof value.error === 'object' && value.error !== null)
    throw toError(value, 'the engine failed');
  return value;
}

/** An error from `{code, message, hint}` or `{error: {...}}`; a code this version does not know becomes `internal`. */
export function toError(value: unknown, otherwise: string): BulkheadError {
  const outer = (value ?? {}) as { error?: Partial<ErrorBody> } & Partial<ErrorBody>;
  const body = typeof outer.error === 'object' && outer.error !== null ? outer.error : outer;
  if (typeof body.message !== 'string') return new BulkheadError('internal', otherwise);
  const known = typeof body.code === 'string' && Object.hasOwn(ERRORS, body.code);
  return new BulkheadError(known ? body.code! : 'internal', body.message, {
    ...(typeof body.hint === 'string' && body.hint !== '' ? { hint: body.hint } : {}),
    ...(typeof body.at === 'string' ? { at: body.at } : {}),
  });
}
