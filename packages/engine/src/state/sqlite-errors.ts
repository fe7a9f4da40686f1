/** What SQLite's result codes mean to a user. */
import { BulkheadError } from '@bulkhead/contract';

const BUSY = 5;
const READONLY = 8;
const IOERR = 10;
const FULL = 13;
const CANTOPEN = 14;
const IOERR_SHMSIZE = 4874;

interface SqliteError extends Error {
  errcode: number;
}

const isSqliteError = (error: unknown): error is SqliteError =>
  error instanceof Error && typeof (error as Partial<SqliteError>).errcode === 'number';

export const isBusy = (error: unknown): boolean => isSqliteError(error) && (error.errcode & 0xff) === BUSY;

export const isUniqueViolation = (error: unknown): boolean => isSqliteError(error) && error.errcode === 2067;

/** A BulkheadError where the cause lies outside us; anything else as it was. */
export function translate(error: unknown, file: string): unknown {
  if (!isSqliteError(error)) return error;
  const kind = error.errcode & 0xff;
  if (kind === FULL || error.errcode === IOERR_SHMSIZE) {
    return new BulkheadError('disk_full', `no space left for ${file}; nothing was changed`, { cause: error });
  }
  if (kind === READONLY || kind === CANTOPEN) {
    return new BulkheadError('read_only', `${file} cannot be written: ${error.message}`, { cause: error });
  }
  if (kind === IOERR) {
    return new BulkheadError('read_only', `${file} cannot be read or written: ${error.message}`, { cause: error });
  }
  return error;
}
