/** The image store: skopeo moves, the blobs and layers are kept by digest, the state knows the names. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract';
import type { ImageRecord, ImageStore, OnProgress, Pruned, PullOptions } from '../ports/images.ts';
import { ArchiveLoader } from './archive-load.ts';
import { saveArchive } from './archive-save.ts';
import { baseManifest } from './base-image.ts';
import { BlobStore } from './blob-store.ts';
import { Buildah, type BuildOptions } from './buildah.ts';
import type { ImageFault } from './faults.ts';
import { collectGarbage } from './garbage.ts';
import { ImageImport } from './image-import.ts';
import { ImagePush } from './image-push.ts';
import { ImageRecords } from './image-records.ts';
import { LayerStore } from './layer-store.ts';
import { LayerWorkers } from './layer-workers.ts';
import { parsePlatform } from './manifest.ts';
import { OciLayout } from './oci-layout.ts';
import { type ImageName, parseName, parseSource, repositoryOf, type Source, tagOf } from './reference.ts';
import { RegistryPull } from './registry-pull.ts';
import { StoreLock } from './store-lock.ts';
import type { SkopeoImageStoreOptions } from './store-options.ts';

export type { SkopeoImageStoreOptions } from './store-options.ts';

const STALL_MS = 30_000;
const BUILDERS = 2;

export class SkopeoImageStore implements ImageStore {
  readonly #blobs: BlobStore;
  readonly #layers: LayerStore;
  readonly #records: ImageRecords;
  readonly #import: ImageImport;
  readonly #lock = new StoreLock();
  readonly #temporary: string;
  readonly #stallMs: number;
  readonly #buildah: Buildah;
  readonly #loader: ArchiveLoader;
  readonly #pusher: ImagePush;
  readonly #onLayersRemoved: () => void;
  readonly #fault: ImageFault;

  constructor(options: SkopeoImageStoreOptions) {
    const { paths } = options;
    const fault = options.fault ?? (() => {});
    const workers = new LayerWorkers(BUILDERS);
    this.#blobs = new BlobStore(path.join(paths.data, 'images', 'blobs'));
    this.#layers = new LayerStore(path.join(paths.data, 'layers'), this.#blobs, async (job) => {
      await (options.buildLayer ?? ((each) => workers.build(each)))(job);
      fault('image.layer');
    });
    this.#records = new ImageRecords(options.state);
    this.#fault = fault;
    this.#import = new ImageImport(this.#blobs, this.#layers, this.#records);
    this.#temporary = path.join(paths.data, 'tmp', 'images');
    this.#stallMs = options.stallMs ?? STALL_MS;
    this.#buildah = new Buildah({
      paths,
      temporary: this.#temporary,
      ...(options.buildNetwork === undefined ? {} : { network: options.buildNetwork }),
    });
    const { dockerHost } = options;
    const parts = {
      blobs: this.#blobs,
      temporary: this.#temporary,
      stallMs: this.#stallMs,
      ...(dockerHost === undefined ? {} : { dockerHost }),
    };
    this.#loader = new ArchiveLoader(parts);
    this.#pusher = new ImagePush(parts);
    this.#onLayersRemoved = options.onLayersRemoved ?? (() => {});
    mkdirSync(this.#temporary, { recursive: true, mode: 0o700 });
  }

  pull(reference: string, options: PullOptions): Promise<ImageRecord> {
    return this.#lock.adding(() => this.#pull(parseSource(reference), options));
  }

  async #pull(source: Source, options: PullOptions): Promise<ImageRecord> {
    const record = await (source.transport === 'docker'
      ? this.#pullFromRegistry(source.name, options)
      : this.#pullFromFile(source, options));
    options.onProgress?.({ phase: 'done', message: record.id });
    return record;
  }

  async #pullFromRegistry(name: ImageName, options: PullOptions): Promise<ImageRecord> {
    const parts = {
      blobs: this.#blobs,
      layers: this.#layers,
      temporary: this.#temporary,
      stallMs: this.#stallMs,
      fault: this.#fault,
    };
    const pulled = await new RegistryPull(parts, name, options).run();
    const tag = tagOf(name);
    const repoDigests = [...new Set([pulled.namedDigest, pulled.manifestDigest])].map(
      (digest) => `${repositoryOf(name)}@${digest}`,
    );
    const names = { tags: tag === undefined ? [] : [tag], repoDigests };
    const record = await this.#import.add(pulled.manifestDigest, names, options.onProgress ?? (() => {}));
    this.#fault('image.stored');
    return record;
  }

  async #pullFromFile(source: Exclude<Source, { transport: 'docker' }>, options: PullOptions): Promise<ImageRecord> {
    const found = await this.#loader.fetch(source, options);
    return this.#importAll(found, options);
  }

  async #importAll(found: { digest: string; tags: string[] }[], options: PullOptions): Promise<ImageRecord> {
    const platform = options.platform === undefined ? undefined : parsePlatform(options.platform);
    let first: ImageRecord | undefined;
    for (const { digest, tags } of found) {
      const record = await this.#import.add(
        digest,
        { tags, repoDigests: [] },
        options.onProgress ?? (() => {}),
        platform,
      );
      first ??= record;
    }
    if (first === undefined) throw new BulkheadError('no_such_image', 'the archive holds no image');
    return first;
  }

  push(reference: string, destination: string, options: PullOptions): Promise<void> {
    const record = this.#records.get(reference);
    return this.#lock.adding(() => this.#pusher.push(record, destination, options));
  }

  find(reference: string): ImageRecord | undefined {
    return this.#records.find(reference);
  }

  list(): ImageRecord[] {
    return this.#records.list();
  }

  tag(reference: string, name: string): void {
    this.#records.tag(reference, name);
  }

  async remove(
    reference: string,
    options: { force: boolean; inUse: (imageId: string) => boolean },
  ): Promise<{ untagged: string[]; deleted: string[] }> {
    const removed = this.#records.remove(reference, options);
    if (removed.deleted.length > 0) await this.#collectSoon();
    return removed;
  }

  load(archive: Readable, onProgress: OnProgress = () => {}): Promise<ImageRecord[]> {
    return this.#lock.adding(async () => {
      const found = await this.#loader.receive(archive);
      if (found.length === 0) throw new BulkheadError('no_such_image', 'the archive holds no image');
      const records: ImageRecord[] = [];
      for (const { digest, tags } of found) {
        records.push(await this.#import.add(digest, { tags, repoDigests: [] }, onProgress));
      }
      onProgress({ phase: 'done' });
      return records;
    });
  }

  /** What is being saved stays readable, whatever is removed meanwhile. */
  async save(references: string[], format: 'docker-archive' | 'oci-archive'): Promise<Readable> {
    const images = references.map((reference) => {
      const record = this.#records.get(reference);
      const tag = this.#records.tagNamed(reference, record);
      return { record, tags: tag === undefined ? [] : [tag] };
    });
    return this.#lock.adding(() => saveArchive(images, format, this.#blobs));
  }

  build(context: Readable, options: BuildOptions): Promise<ImageRecord> {
    const tag = options.tag === undefined ? undefined : tagOf(parseName(options.tag));
    const onProgress = options.onProgress ?? (() => {});
    return this.#lock.adding(async () => {
      const layout = await OciLayout.make(this.#temporary);
      try {
        // What is missing comes from its registry by us: the build itself may not reach it.
        const source = async (reference: string): Promise<OciLayout> => {
          const record = this.#records.find(reference) ?? (await this.#pull(parseSource(reference), {}));
          return OciLayout.of(await baseManifest(record, this.#blobs), this.#blobs, this.#temporary);
        };
        await this.#buildah.build(context, options, { source, target: layout, blobDirectory: this.#blobs.directory });
        const built = layout.entries()[0];
        if (built === undefined) throw new BulkheadError('build_failed', 'the build made no image');
        return await this.#import.add(
          built.digest,
          { tags: tag === undefined ? [] : [tag], repoDigests: [] },
          onProgress,
        );
      } finally {
        layout.remove();
      }
    });
  }

  prune(options: { all: boolean; inUse: (imageId: string) => boolean }): Promise<Pruned> {
    return this.#lock.alone(async () => {
      const unwanted = this.#records
        .list()
        .filter((image) => !options.inUse(image.id) && (options.all || image.tags.length === 0));
      for (const image of unwanted) this.#records.delete(image.id);
      const buildBytes = await this.#buildah.prune();
      return { images: unwanted.map((image) => image.id), freedBytes: (await this.#collect()) + buildBytes };
    });
  }

  /** Now where nothing is being added; else after that, and the caller does not wait. What fails is done by the next prune. */
  async #collectSoon(): Promise<void> {
    const busy = this.#lock.busy;
    const collected = this.#lock.alone(() => this.#collect()).catch(() => 0);
    if (!busy) await collected;
  }

  async #collect(): Promise<number> {
    const freedBytes = await collectGarbage(this.#records.list(), this.#blobs, this.#layers, new Set());
    this.#onLayersRemoved();
    return freedBytes;
  }

  async recover(): Promise<void> {
    for (const name of readdirSync(this.#temporary)) {
      rmSync(path.join(this.#temporary, name), { recursive: true, force: true });
    }
    this.#buildah.recover();
    await this.#blobs.recover();
    await this.#layers.recover();
    await this.#lock.adding(() => this.#prepareMissing());
  }

  /** An image whose prepared layer is gone is prepared again from its blob. */
  async #prepareMissing(): Promise<void> {
    for (const image of this.#records.list()) {
      if (image.layers.every((layer) => this.#layers.has(layer))) continue;
      await this.#import.add(image.manifestDigest, { tags: [], repoDigests: [] }, () => {}).catch(() => {});
    }
  }
}
