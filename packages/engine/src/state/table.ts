/** One table of JSON records with prepared statements. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';

export class Table<R> {
  readonly #put: StatementSync;
  readonly #get: StatementSync;
  readonly #list: StatementSync;
  readonly #delete: StatementSync;
  readonly #key: (record: R) => string;
  readonly #name: ((record: R) => string) | undefined;

  /** With `name`, the record's name is kept in a unique column of its own. */
  constructor(
    database: DatabaseSync,
    table: 'instances' | 'images' | 'volumes' | 'networks',
    key: (record: R) => string,
    name?: (record: R) => string,
  ) {
    const keyColumn = table === 'volumes' ? 'name' : 'id';
    this.#put = database.prepare(
      name
        ? `INSERT INTO ${table} (id, name, json) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, json = excluded.json`
        : `INSERT INTO ${table} (${keyColumn}, json) VALUES (?, ?) ON CONFLICT (${keyColumn}) DO UPDATE SET json = excluded.json`,
    );
    this.#get = database.prepare(`SELECT json FROM ${table} WHERE ${keyColumn} = ?`);
    this.#list = database.prepare(`SELECT json FROM ${table}`);
    this.#delete = database.prepare(`DELETE FROM ${table} WHERE ${keyColumn} = ?`);
    this.#key = key;
    this.#name = name;
  }

  put(record: R): void {
    const json = JSON.stringify(record);
    if (this.#name) this.#put.run(this.#key(record), this.#name(record), json);
    else this.#put.run(this.#key(record), json);
  }

  get(key: string): R | undefined {
    return parse<R>(this.#get.get(key));
  }

  list(): R[] {
    return this.#list.all().map((row) => parse<R>(row) as R);
  }

  delete(key: string): void {
    this.#delete.run(key);
  }
}

export function parse<R>(row: unknown): R | undefined {
  return row === undefined ? undefined : (JSON.parse((row as { json: string }).json) as R);
}
