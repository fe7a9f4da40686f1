/** The engine's memory in one SQLite file: WAL, every commit on the disk before it is acknowledged. */
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { BulkheadError } from '@bulkhead/contract';
import type { InstanceRecord } from '../domain/instance.ts';
import type { ImageRecord } from '../ports/images.ts';
import type { NetworkRecord } from '../ports/network.ts';
import type { EventRecord, StateStore, VolumeRecord } from '../ports/state.ts';
import { migrate } from './migrations.ts';
import { keepReserve } from './reserve.ts';
import { isUniqueViolation, translate } from './sqlite-errors.ts';
import { parse, Table } from './table.ts';

const MAX_EVENTS = 10_000;
/** Old events go in batches: a delete per event would double the work of a commit. */
const TRIM_EVERY = 100;

export class SqliteState implements StateStore {
  readonly #file: string;
  readonly #database: DatabaseSync;
  readonly #instances: Table<InstanceRecord>;
  readonly #images: Table<ImageRecord>;
  readonly #volumes: Table<VolumeRecord>;
  readonly #networks: Table<NetworkRecord>;
  readonly #byName: StatementSync;
  readonly #byPrefix: StatementSync;
  readonly #addEvent: StatementSync;
  readonly #trimEvents: StatementSync;
  readonly #events: StatementSync;
  #depth = 0;

  /** Opens or makes the database. Throws `read_only` or `disk_full`. */
  constructor(file: string) {
    this.#file = file;
    try {
      this.#database = new DatabaseSync(file);
      this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000');
      migrate(this.#database);
      keepReserve(this.#database, file);
    } catch (error) {
      throw translate(error, file);
    }
    const database = this.#database;
    const id = (record: { id: string }) => record.id;
    const name = (record: { name: string }) => record.name;
    this.#instances = new Table<InstanceRecord>(database, 'instances', id, name);
    this.#images = new Table<ImageRecord>(database, 'images', id);
    this.#volumes = new Table<VolumeRecord>(database, 'volumes', name);
    this.#networks = new Table<NetworkRecord>(database, 'networks', id, name);
    this.#byName = database.prepare('SELECT json FROM instances WHERE name = ?');
    this.#byPrefix = database.prepare('SELECT json FROM instances WHERE id >= ? AND id < ? LIMIT 2');
    this.#addEvent = database.prepare('INSERT INTO events (at, json) VALUES (?, ?)');
    this.#trimEvents = database.prepare('DELETE FROM events WHERE seq <= ?');
    this.#events = database.prepare('SELECT seq, json FROM events WHERE at >= ? AND at <= ? ORDER BY seq');
  }

  putInstance(record: InstanceRecord): void {
    this.#do(
      () => this.#instances.put(record),
      () => `the name ${record.name} is taken by another instance`,
    );
  }
  getInstance(id: string): InstanceRecord | undefined {
    return this.#do(() => this.#instances.get(id));
  }
  findInstance(reference: string): InstanceRecord | undefined {
    return this.#do(() => {
      const exact = this.#instances.get(reference) ?? parse<InstanceRecord>(this.#byName.get(reference));
      if (exact || !/^[0-9a-f]{1,31}$/.test(reference)) return exact;
      const rows = this.#byPrefix.all(reference, `${reference}g`);
      if (rows.length > 1) {
        throw new BulkheadError('ambiguous_reference', `more than one instance id begins with ${reference}`);
      }
      return parse<InstanceRecord>(rows[0]);
    });
  }
  listInstances(): InstanceRecord[] {
    return this.#do(() => this.#instances.list());
  }
  deleteInstance(id: string): void {
    this.#do(() => this.#instances.delete(id));
  }

  putImage(record: ImageRecord): void {
    this.#do(() => this.#images.put(record));
  }
  getImage(id: string): ImageRecord | undefined {
    return this.#do(() => this.#images.get(id));
  }
  listImages(): ImageRecord[] {
    return this.#do(() => this.#images.list());
  }
  deleteImage(id: string): void {
    this.#do(() => this.#images.delete(id));
  }

  putVolume(record: VolumeRecord): void {
    this.#do(() => this.#volumes.put(record));
  }
  listVolumes(): VolumeRecord[] {
    return this.#do(() => this.#volumes.list());
  }
  deleteVolume(name: string): void {
    this.#do(() => this.#volumes.delete(name));
  }

  putNetwork(record: NetworkRecord): void {
    this.#do(
      () => this.#networks.put(record),
      () => `the name ${record.name} is taken by another network`,
    );
  }
  listNetworks(): NetworkRecord[] {
    return this.#do(() => this.#networks.list());
  }
  deleteNetwork(id: string): void {
    this.#do(() => this.#networks.delete(id));
  }

  addEvent(event: Omit<EventRecord, 'seq'>): EventRecord {
    return this.#do(() => {
      const seq = Number(this.#addEvent.run(event.at, JSON.stringify(event)).lastInsertRowid);
      if (seq % TRIM_EVERY === 0) this.#trimEvents.run(seq - MAX_EVENTS);
      return { ...event, seq };
    });
  }
  listEvents(options: { sinceMs?: number; untilMs?: number }): EventRecord[] {
    return this.#do(() => {
      const rows = this.#events.all(options.sinceMs ?? 0, options.untilMs ?? Number.MAX_SAFE_INTEGER);
      return rows.map((row) => ({ ...parse<Omit<EventRecord, 'seq'>>(row)!, seq: Number(row.seq) }));
    });
  }

  transaction<T>(body: () => T): T {
    if (this.#depth > 0) return body();
    this.#do(() => this.#database.exec('BEGIN IMMEDIATE'));
    this.#depth++;
    try {
      const result = body();
      this.#do(() => this.#database.exec('COMMIT'));
      return result;
    } catch (error) {
      // A full disk rolls back by itself: then there is nothing left to roll back.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    } finally {
      this.#depth--;
    }
  }

  close(): void {
    this.#database.close();
  }

  #do<T>(body: () => T, taken?: () => string): T {
    try {
      return body();
    } catch (error) {
      if (taken && isUniqueViolation(error)) throw new BulkheadError('name_in_use', taken(), { cause: error });
      throw translate(error, this.#file);
    }
  }
}
