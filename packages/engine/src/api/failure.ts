/** Any thrown thing as the body and status a client gets. Our own defects are logged and told without detail. */
import { BulkheadError, ERRORS, type ErrorBody } from '@bulkhead/contract';
import { bodyTooLarge } from './json-body.ts';

export interface Failure {
  status: number;
  body: ErrorBody;
}

export function failureOf(error: unknown, report: (what: string, error: unknown) => void): Failure {
  const known = knownOf(error);
  if (known) return { status: ERRORS[known.code].status, body: known.toBody() };
  report('request', error);
  const message = error instanceof Error ? error.message : String(error);
  return { status: 500, body: new BulkheadError('internal', message).toBody() };
}

function knownOf(error: unknown): BulkheadError | undefined {
  if (error instanceof BulkheadError) return error;
  const { code, statusCode, message } = error as { code?: unknown; statusCode?: unknown; message?: string };
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new BulkheadError('disk_full', 'no space is left', { cause: error });
  if (code === 'EROFS') return new BulkheadError('read_only', message ?? 'read-only', { cause: error });
  if (statusCode === 413) return bodyTooLarge();
  if (typeof statusCode === 'number' && statusCode < 500) return new BulkheadError('invalid_request', message ?? '');
  return undefined;
}
