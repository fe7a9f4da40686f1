/** What is taken out of an image archive while it streams by: its documents into memory, its blobs into files. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import { MANIFEST_MAX_BYTES } from './manifest.ts';
import { rejected, type TarEntry } from './tar-format.ts';
import type { TarVisitor } from './tar-reader.ts';

const ARCHIVE_ENTRIES_MAX = 100_000;

/** Keeps the named documents of an archive's top in memory. */
export class SmallFiles implements TarVisitor {
  readonly found = new Map<string, Buffer>();
  readonly #names: string[];
  #name: string | undefined;
  #pieces: Buffer[] = [];
  #entries = 0;

  constructor(names: string[]) {
    this.#names = names;
  }

  entry(entry: TarEntry): void {
    if (++this.#entries > ARCHIVE_ENTRIES_MAX) rejected(`it has more than ${ARCHIVE_ENTRIES_MAX} entries`);
    const name = entry.name.replace(/^(\.?\/)+/, '');
    this.#name = entry.kind === 'file' && this.#names.includes(name) ? name : undefined;
    if (this.#name !== undefined && entry.sizeBytes > MANIFEST_MAX_BYTES) rejected(`its ${name} is too large`);
    this.#pieces = [];
  }

  data(piece: Buffer): void {
    if (this.#name !== undefined) this.#pieces.push(Buffer.from(piece));
  }

  endOfEntry(): void {
    if (this.#name !== undefined) this.found.set(this.#name, Buffer.concat(this.#pieces));
  }
}

/** Writes every `blobs/sha256/<hex>` into a directory, under a name of its own; refuses one that is not what it says. */
export class BlobFiles implements TarVisitor {
  readonly files = new Map<string, string>();
  readonly #directory: string;
  #open: { fd: number; hex: string; hash: ReturnType<typeof createHash> } | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  entry(entry: TarEntry): void {
    const hex = /^(?:\.?\/)*blobs\/sha256\/([0-9a-f]{64})$/.exec(entry.name)?.[1];
    if (entry.kind !== 'file' || hex === undefined) return;
    const file = path.join(this.#directory, hex);
    this.#open = { fd: openSync(file, 'w', 0o600), hex, hash: createHash('sha256') };
    this.files.set(`sha256:${hex}`, file);
  }

  data(piece: Buffer): void {
    if (this.#open === undefined) return;
    this.#open.hash.update(piece);
    for (let written = 0; written < piece.length; ) written += writeSync(this.#open.fd, piece, written);
  }

  endOfEntry(): void {
    const ended = this.#open;
    this.close();
    if (ended !== undefined && ended.hash.digest('hex') !== ended.hex) {
      throw new BulkheadError('digest_mismatch', `the archive's blob sha256:${ended.hex} is something else`);
    }
  }

  close(): void {
    if (this.#open !== undefined) closeSync(this.#open.fd);
    this.#open = undefined;
  }
}
