/** Image commands that the lifecycle has a say in: nothing is taken that an instance needs. */
import { BulkheadError } from '@bulkhead/contract';
import type { ImageRecord, Pruned, PullOptions } from '../ports/images.ts';
import type { LifecycleDeps } from './deps.ts';
import type { Events } from './events.ts';

export class Images {
  readonly #deps: LifecycleDeps;
  readonly #events: Events;
  /** One pull of a reference at a time: the others wait for its result. */
  readonly #pulling = new Map<string, Promise<ImageRecord>>();

  constructor(deps: LifecycleDeps, events: Events) {
    this.#deps = deps;
    this.#events = events;
  }

  /** Throws `no_such_image`. */
  get(reference: string): ImageRecord {
    const image = this.#deps.images.find(reference);
    if (!image) throw new BulkheadError('no_such_image', `the image ${JSON.stringify(reference)} is not in the store`);
    return image;
  }

  async pull(reference: string, options: PullOptions): Promise<ImageRecord> {
    const key = `${reference} ${options.platform ?? ''}`;
    // A pull with its own progress or signal is its own: the store shares the work below.
    const running = options.signal || options.onProgress ? undefined : this.#pulling.get(key);
    if (running) return running;
    this.#deps.fault('pull.begun');
    const pull = this.#deps.images.pull(reference, options);
    this.#pulling.set(key, pull);
    try {
      const image = await pull;
      this.#deps.fault('pull.done');
      this.#events.record('image', 'pull', image.id, { name: reference });
      return image;
    } finally {
      this.#pulling.delete(key);
    }
  }

  tag(reference: string, name: string): void {
    const image = this.get(reference);
    this.#deps.images.tag(reference, name);
    this.#events.record('image', 'tag', image.id, { name });
  }

  /** `force` takes the tag off although instances use it; the layers stay as long as they do. */
  async remove(reference: string, force: boolean): Promise<{ untagged: string[]; deleted: string[] }> {
    const image = this.get(reference);
    const users = this.#deps.state.listInstances().filter((record) => record.imageId === image.id);
    if (users.length > 0 && !force && image.tags.length <= 1) {
      throw new BulkheadError('in_use', `image ${reference} is used by instance ${users[0]?.name}`);
    }
    const result = await this.#deps.images.remove(reference, { force, inUse: this.#inUse() });
    for (const id of result.deleted) this.#events.record('image', 'delete', id, { name: reference });
    return result;
  }

  async prune(all: boolean): Promise<Pruned> {
    const pruned = await this.#deps.images.prune({ all, inUse: this.#inUse() });
    this.#events.record('image', 'prune', '', { freedBytes: String(pruned.freedBytes) });
    return pruned;
  }

  #inUse(): (imageId: string) => boolean {
    // Asked anew each time: an instance may be created while images are being removed.
    return (imageId) => this.#deps.state.listInstances().some((record) => record.imageId === imageId);
  }
}
