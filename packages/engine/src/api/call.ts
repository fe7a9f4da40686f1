/** One request as a handler sees it. */
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract';

export class Call {
  readonly params: Record<string, string>;
  readonly body: unknown;
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal;
  readonly raw: IncomingMessage;
  readonly #query: Record<string, string | string[] | undefined>;

  constructor(request: {
    params: Record<string, string>;
    query: Record<string, string | string[] | undefined>;
    body: unknown;
    signal: AbortSignal;
    raw: IncomingMessage;
  }) {
    this.params = request.params;
    this.#query = request.query;
    this.body = request.body;
    this.signal = request.signal;
    this.raw = request.raw;
  }

  get upload(): Readable {
    return this.raw;
  }

  param(name: string): string {
    return this.params[name] ?? '';
  }

  all(name: string): string[] {
    const value = this.#query[name];
    return value === undefined ? [] : Array.isArray(value) ? value : [value];
  }

  text(name: string): string | undefined {
    return this.all(name)[0];
  }

  required(name: string): string {
    const value = this.text(name);
    if (!value) throw new BulkheadError('invalid_request', `the query parameter ${name} is missing`);
    return value;
  }

  flag(name: string): boolean {
    const value = this.text(name);
    return value !== undefined && value !== '0' && value !== 'false';
  }

  number(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined || text === '') return undefined;
    const value = Number(text);
    if (!Number.isFinite(value) || value < 0) {
      throw new BulkheadError('invalid_request', `${name} ${JSON.stringify(text)} is not a number of 0 or more`);
    }
    return value;
  }
}
