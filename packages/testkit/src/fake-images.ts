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
      tags: [name],
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
    const image = this.find(reference);
    if (image) this.#state.putImage({ ...image, tags: [...image.tags, name] });
  }

  async remove(reference: string, options: { inUse: (id: string) => boolean }) {
    const image = this.find(reference)!;
    if (options.inUse(image.id)) return { untagged: [reference], deleted: [] };
    this.#state.deleteImage(image.id);
    return { untagged: [reference], deleted: [image.id] };
  }

  async load(archive: Readable, _onProgress?: OnProgress): Promise<ImageRecord[]> {
    let name = '';
    for await (const chunk of archive) name += String(chunk);
    return [this.add(name)];
  }

  async save(references: string[]): Promise<Readable> {
    return Readable.from([Buffer.from(references.join(' '))]);
  }

  async build(context: Readable, options: { tag?: string; onProgress?: OnProgress }): Promise<ImageRecord> {
    context.resume();
    options.onProgress?.({ phase: 'building', message: 'STEP 1' });
    return this.add(options.tag ?? 'built');
  }

  async prune({ inUse }: { inUse: (id: string) => boolean }) {
    const gone = this.list().filter((image) => !inUse(image.id));
    for (const image of gone) this.#state.deleteImage(image.id);
    return { images: gone.map((image) => image.id), freedBytes: gone.length * 1024 };
  }

  async recover(): Promise<void> {}
}
