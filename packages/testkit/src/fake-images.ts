/** An image store without a registry: images are made by the test, or appear when pulled. */
import { Readable } from 'node:stream';
import { BulkheadError } from '@bulkhead/contract';
import type { ImageConfig, ImageRecord, ImageStore, OnProgress, PullOptions, StateStore } from '@bulkhead/engine';

const EMPTY: ImageConfig = {
  entrypoint: [],
  cmd: ['task'],
  env: [],
  workdir: '',
  user: '',
  labels: {},
  exposedPorts: [],
  volumes: [],
};

/** Kept in the engine's state, as the real one does. */
export class FakeImages implements ImageStore {
  readonly #state: StateStore;
  /** Names that a pull finds. */
  readonly remote = new Map<string, Partial<ImageConfig>>([['fake', {}]]);
  pulls = 0;

  constructor(state: StateStore) {
    this.#state = state;
  }

  add(name: string, config: Partial<ImageConfig> = {}): ImageRecord {
    const digest = `sha256:${Buffer.from(name).toString('hex').padEnd(64, '0').slice(0, 64)}`;
    const record: ImageRecord = {
      id: digest,
      manifestDigest: digest,
      tags: [...new Set([...(this.#state.getImage(digest)?.tags ?? []), name])],
      repoDigests: [],
      architecture: 'amd64',
      os: 'linux',
      createdAt: 0,
      sizeBytes: 1024,
      layers: [digest],
      config: { ...EMPTY, ...config },
    };
    this.#state.putImage(record);
    return record;
  }

  async pull(reference: string, { onProgress }: PullOptions): Promise<ImageRecord> {
    const config = this.remote.get(reference);
    if (!config) throw new BulkheadError('no_such_image', `no registry has ${reference}`);
    this.pulls++;
    onProgress?.({ phase: 'downloading', layer: 'one', currentBytes: 1, totalBytes: 2 });
    return this.add(reference, config);
  }

  async push(): Promise<void> {}

  find(reference: string): ImageRecord | undefined {
    return this.list().find((image) => image.id === reference || image.tags.includes(reference));
  }

  list(): ImageRecord[] {
    return this.#state.listImages();
  }

  tag(reference: string, name: string): void {
    const image = this.#get(reference);
    const before = this.find(name);
    if (before) this.#state.putImage({ ...before, tags: before.tags.filter((tag) => tag !== name) });
    this.#state.putImage({ ...image, tags: [...new Set([...image.tags, name])] });
  }

  #get(reference: string): ImageRecord {
    const image = this.find(reference);
    if (!image) throw new BulkheadError('no_such_image', `the image ${reference} is not in the store`);
    return image;
  }

  async remove(reference: string, options: { force: boolean; inUse: (id: string) => boolean }) {
    const image = this.#get(reference);
    const [named] = image.tags.filter((tag) => tag === reference);
    if (named !== undefined && image.tags.length > 1) {
      this.#state.putImage({ ...image, tags: image.tags.filter((tag) => tag !== named) });
      return { untagged: [named], deleted: [] };
    }
    if (options.inUse(image.id)) {
      if (!options.force) throw new BulkheadError('in_use', `an instance uses ${reference}`);
      this.#state.putImage({ ...image, tags: [] });
      return { untagged: image.tags, deleted: [] };
    }
    this.#state.deleteImage(image.id);
    return { untagged: image.tags, deleted: [image.id] };
  }

  async load(archive: Readable, _onProgress?: OnProgress): Promise<ImageRecord[]> {
    let name = '';
    for await (const chunk of archive) name += String(chunk);
    return [this.add(name)];
  }

  async save(references: string[]): Promise<Readable> {
    return Readable.from([Buffer.from(references.map((name) => this.#get(name).tags[0]).join(' '))]);
  }

  async build(context: Readable, options: { tag?: string; onProgress?: OnProgress }): Promise<ImageRecord> {
    context.resume();
    options.onProgress?.({ phase: 'building', message: 'STEP 1' });
    return this.add(options.tag ?? 'built');
  }

  async prune({ all, inUse }: { all: boolean; inUse: (id: string) => boolean }) {
    const gone = this.list().filter((image) => !inUse(image.id) && (all || image.tags.length === 0));
    for (const image of gone) this.#state.deleteImage(image.id);
    return { images: gone.map((image) => image.id), freedBytes: gone.length * 1024 };
  }

  async recover(): Promise<void> {}
}
