/** Space the database keeps back: on a full disk, ends, stops and removals can still be written. It stores nothing there. */
import { statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';

/** Some hundred commits. */
const RESERVE_BYTES = 1 << 20;

/**
 * Free pages inside the file, and a log of that length, both of which SQLite uses again before it asks for more. What
 * cannot be had now is had the next time.
 */
export function keepReserve(database: DatabaseSync, file: string): void {
  const { freelist_count: free } = database.prepare('PRAGMA freelist_count').get() as { freelist_count: number };
  const { page_size: page } = database.prepare('PRAGMA page_size').get() as { page_size: number };
  const log = statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  if (free * page >= RESERVE_BYTES && log >= RESERVE_BYTES) return;
  try {
    database.exec(
      `BEGIN IMMEDIATE; DROP TABLE IF EXISTS reserve; CREATE TABLE reserve (filler BLOB);
       INSERT INTO reserve VALUES (zeroblob(${2 * RESERVE_BYTES})); COMMIT`,
    );
    // Now the file has grown, too, and the log begins anew.
    database.exec('PRAGMA wal_checkpoint(RESTART)');
  } catch {
    if (database.isTransaction) database.exec('ROLLBACK');
  }
  database.exec('DROP TABLE IF EXISTS reserve');
}
