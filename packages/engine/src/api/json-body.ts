/** JSON bodies of requests, however they came: how long they may be, and what is said of those that are none. */
import { BulkheadError } from '@bulkhead/contract';

export const MAX_BODY_BYTES = 8 << 20;

export function bodyTooLarge(): BulkheadError {
  return new BulkheadError('too_large', 'the request body is larger than 8 MiB');
}

export function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BulkheadError('invalid_request', `the body is not JSON: ${(error as Error).message}`);
  }
}
