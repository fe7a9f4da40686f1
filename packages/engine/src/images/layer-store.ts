/** Prepared layers, one squashfs per diff id, shared by all images and levels. Two who want the same one build it once. */
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { BlobStore } from './blob-store.ts';
import type { LayerJob } from './layer-builder.ts';
import type { Descriptor } from './manifest.ts';

const NAME = /^([0-9a-f]{64})\.sqfs$/;

export class LayerStore {
  readonly #directory: string;
  readonly #blobs: BlobStore;
  readonly #build: (job: LayerJob) => Promise<void>;
  readonly #building = new Map<string, Promise<void>>();
  #serial = 0;

  constructor(directory: string, blobs: BlobStore, build: (job: LayerJob) => Promise<void>) {
    this.#directory = directory;
    this.#blobs = blobs;
    this.#build = build;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  path(diffId: string): string {
    return path.join(this.#directory, `${diffId.slice('sha256:'.length)}.sqfs`);
  }

  has(diffId: string): boolean {
    return existsSync(this.path(diffId));
  }

  sizeBytes(diffId: string): number {
    return statSync(this.path(diffId), { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Builds the layer from its blob unless it is there or being built. */
  ensure(diffId: string, blob: Descriptor): Promise<void> {
    if (this.has(diffId)) return Promise.resolve();
    const running = this.#building.get(diffId);
    if (running !== undefined) return running;
    const target = this.path(diffId);
    const building = this.#build({
      blobPath: this.#blobs.path(blob.digest),
      blobDigest: blob.digest,
      blobBytes: blob.sizeBytes,
      diffId,
      temporary: `${target}.building-${process.pid}-${this.#serial++}`,
      target,
    }).finally(() => this.#building.delete(diffId));
    this.#building.set(diffId, building);
    return building;
  }

  list(): string[] {
    return readdirSync(this.#directory).flatMap((name) => (NAME.test(name) ? [`sha256:${name.slice(0, 64)}`] : []));
  }

  /** Bytes freed. An instance that still shows it keeps it until it ends. */
  async remove(diffId: string): Promise<number> {
    const bytes = this.sizeBytes(diffId);
    await rm(this.path(diffId), { force: true });
    return bytes;
  }

  /** Removes what a crash left half built. */
  async recover(): Promise<void> {
    for (const name of readdirSync(this.#directory)) {
      if (!NAME.test(name)) await rm(path.join(this.#directory, name), { force: true });
    }
  }
}
