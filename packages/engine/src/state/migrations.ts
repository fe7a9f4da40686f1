/** The database's shape, one step per version (`PRAGMA user_version`). A released step is never edited. */
import type { DatabaseSync } from 'node:sqlite';

const STEPS: readonly string[] = [
  `CREATE TABLE instances (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, json TEXT NOT NULL) WITHOUT ROWID;
   CREATE TABLE images (id TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
   CREATE TABLE volumes (name TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
   CREATE TABLE networks (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, json TEXT NOT NULL) WITHOUT ROWID;
   CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, json TEXT NOT NULL);
   CREATE INDEX events_at ON events (at);`,
];

/** Brings the database to the newest version; refuses one written by a newer engine. */
export function migrate(database: DatabaseSync): void {
  const row = database.prepare('PRAGMA user_version').get() as { user_version: number };
  if (row.user_version > STEPS.length) {
    throw new Error(
      `the database has version ${row.user_version}, this engine knows ${STEPS.length}: it was written by a newer engine`,
    );
  }
  for (let version = row.user_version; version < STEPS.length; version++) {
    database.exec(`BEGIN IMMEDIATE; ${STEPS[version]} PRAGMA user_version = ${version + 1}; COMMIT`);
  }
}
