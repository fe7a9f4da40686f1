/** Blobs by digest in the layout of OCI (`blobs/sha256/<hex>`), each stored once. Reading checks what it returns. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { open, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { BulkheadError } from '@bulkhead/contract';

const DIGEST = /^sha256:([0-9a-f]{64})$/;

export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export class BlobStore {
  /** What skopeo calls the shared blob directory. */
  readonly directory: string;
  readonly #blobs: string;
  #serial = 0;

  constructor(directory: string) {
    this.directory = directory;
    this.#blobs = path.join(directory, 'sha256');
    mkdirSync(this.#blobs, { recursive: true, mode: 0o700 });
  }

  path(digest: string): string {
    const hex = DIGEST.exec(digest)?.[1];
    if (hex === undefined)
      throw new BulkheadError('invalid_manifest', `${JSON.stringify(digest)} is not a sha256 digest`);
    return path.join(this.#blobs, hex);
  }

  has(digest: string, sizeBytes?: number): boolean {
    const found = statSync(this.path(digest), { throwIfNoEntry: false });
    return found !== undefined && (sizeBytes === undefined || found.size === sizeBytes);
  }

  list(): string[] {
    return readdirSync(this.#blobs)
      .filter((name) => /^[0-9a-f]{64}$/.test(name))
      .map((hex) => `sha256:${hex}`);
  }

  /** Small content: manifests and configurations. */
  async read(digest: string, maxBytes: number): Promise<Buffer> {
    const file = this.path(digest);
    if (!existsSync(file)) throw new BulkheadError('invalid_manifest', `the image lacks its part ${digest}`);
    if (statSync(file).size > maxBytes) {
      throw new BulkheadError('invalid_manifest', `${digest} is larger than the ${maxBytes} bytes allowed`);
    }
    const bytes = await readFile(file);
    if (digestOf(bytes) !== digest) throw new BulkheadError('digest_mismatch', `the stored ${digest} is damaged`);
    return bytes;
  }

  /** Returns its digest. Whole or not at all, also through a crash. */
  async put(bytes: Buffer): Promise<string> {
    const digest = digestOf(bytes);
    if (this.has(digest, bytes.length)) return digest;
    const temporary = path.join(this.#blobs, `.put-${process.pid}-${this.#serial++}`);
    writeFileSync(temporary, bytes, { mode: 0o600 });
    await this.adopt(temporary, digest);
    return digest;
  }

  /** Takes over a file already known to have this digest. */
  async adopt(file: string, digest: string): Promise<void> {
    const handle = await open(file, 'r');
    await handle.sync().finally(() => handle.close());
    await rename(file, this.path(digest));
  }

  /** Bytes freed. */
  async remove(digest: string): Promise<number> {
    const file = this.path(digest);
    const bytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    await rm(file, { force: true });
    return bytes;
  }

  /** Removes what a crash left half written. */
  async recover(): Promise<void> {
    for (const name of readdirSync(this.#blobs)) {
      if (!/^[0-9a-f]{64}$/.test(name)) await rm(path.join(this.#blobs, name), { recursive: true, force: true });
    }
  }
}
