/** One engine per data directory: an exclusive SQLite lock, which the kernel drops when its holder dies. */
import { DatabaseSync } from 'node:sqlite';
import { BulkheadError } from '@bulkhead/contract';
import { isBusy, translate } from './sqlite-errors.ts';

export class EngineLock {
  readonly #database: DatabaseSync;

  /** Throws `in_use` where another engine holds it. */
  constructor(dataDirectory: string) {
    const file = `${dataDirectory}/engine.lock`;
    let database: DatabaseSync | undefined;
    try {
      database = new DatabaseSync(file);
      database.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE');
    } catch (error) {
      database?.close();
      if (isBusy(error)) {
        throw new BulkheadError('in_use', `another engine is running on ${dataDirectory}`, {
          hint: 'Stop it with `bulkhead down`, or choose another directory with --data.',
        });
      }
      throw translate(error, file);
    }
    this.#database = database;
  }

  /** Idempotent. */
  release(): void {
    if (this.#database.isOpen) this.#database.close();
  }
}
