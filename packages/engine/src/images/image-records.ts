/** The images the state knows: found by every way a user may name them, tagged and untagged. It touches no file. */
import { BulkheadError } from '@bulkhead/contract';
import type { ImageRecord } from '../ports/images.ts';
import type { StateStore } from '../ports/state.ts';
import { parseName, repositoryOf, tagOf } from './reference.ts';

/** The part of the state images need. */
export type ImageState = Pick<StateStore, 'putImage' | 'getImage' | 'listImages' | 'deleteImage' | 'transaction'>;

const ID = /^(?:sha256:)?([0-9a-f]{4,64})$/;

export class ImageRecords {
  readonly #state: ImageState;

  constructor(state: ImageState) {
    this.#state = state;
  }

  list(): ImageRecord[] {
    return this.#state.listImages();
  }

  find(reference: string): ImageRecord | undefined {
    return this.#byTag(reference) ?? this.#byId(reference);
  }

  get(reference: string): ImageRecord {
    const found = this.find(reference);
    if (found !== undefined) return found;
    throw new BulkheadError(
      'no_such_image',
      `there is no image ${JSON.stringify(reference.slice(0, 200))} in the store`,
    );
  }

  /** Stores the record; what it already had under this id stays, and a tag that was another image's moves here. */
  add(record: ImageRecord): ImageRecord {
    return this.#state.transaction(() => {
      for (const tag of record.tags) this.#takeTag(tag, record.id);
      const before = this.#state.getImage(record.id);
      const merged: ImageRecord = {
        ...record,
        tags: [...new Set([...(before?.tags ?? []), ...record.tags])],
        repoDigests: [...new Set([...(before?.repoDigests ?? []), ...record.repoDigests])],
      };
      this.#state.putImage(merged);
      return merged;
    });
  }

  tag(reference: string, name: string): void {
    const tag = tagOf(parseName(name));
    if (tag === undefined)
      throw new BulkheadError('invalid_reference', `${JSON.stringify(name)} has a digest; a tag has none`);
    this.add({ ...this.get(reference), tags: [tag] });
  }

  /** The record without this tag. */
  untag(record: ImageRecord, tag: string): ImageRecord {
    const left = { ...record, tags: record.tags.filter((other) => other !== tag) };
    this.#state.putImage(left);
    return left;
  }

  /** Untags; the last name takes the record with it. */
  remove(
    reference: string,
    options: { force: boolean; inUse: (imageId: string) => boolean },
  ): { untagged: string[]; deleted: string[] } {
    const record = this.get(reference);
    const named = this.tagNamed(reference, record);
    if (named !== undefined && record.tags.length > 1) {
      this.untag(record, named);
      return { untagged: [named], deleted: [] };
    }
    if (named === undefined && record.tags.length > 1 && !options.force) {
      throw new BulkheadError('in_use', `${reference} has ${record.tags.length} tags: ${record.tags.join(', ')}`);
    }
    if (options.inUse(record.id)) {
      if (!options.force) throw new BulkheadError('in_use', `an instance uses the image ${reference}`);
      for (const tag of record.tags) this.untag(this.get(record.id), tag);
      return { untagged: record.tags, deleted: [] };
    }
    this.delete(record.id);
    return { untagged: record.tags, deleted: [record.id] };
  }

  delete(id: string): void {
    this.#state.deleteImage(id);
  }

  /** The tag `reference` names, where it is a name and not an id. */
  tagNamed(reference: string, record: ImageRecord): string | undefined {
    try {
      const tag = tagOf(parseName(reference));
      return tag !== undefined && record.tags.includes(tag) ? tag : undefined;
    } catch {
      return undefined;
    }
  }

  #takeTag(tag: string, newOwner: string): void {
    for (const other of this.#state.listImages()) {
      if (other.id !== newOwner && other.tags.includes(tag)) this.untag(other, tag);
    }
  }

  #byTag(reference: string): ImageRecord | undefined {
    if (/^sha256:/.test(reference)) return undefined;
    try {
      const name = parseName(reference);
      const tag = tagOf(name);
      const exact = `${repositoryOf(name)}@${name.digest}`;
      return this.list().find((image) =>
        tag === undefined ? image.repoDigests.includes(exact) : image.tags.includes(tag),
      );
    } catch (error) {
      if (ID.test(reference)) return undefined;
      throw error;
    }
  }

  #byId(reference: string): ImageRecord | undefined {
    const prefix = ID.exec(reference)?.[1];
    if (prefix === undefined) return undefined;
    const found = this.list().filter((image) => image.id.startsWith(`sha256:${prefix}`));
    if (found.length > 1) throw new BulkheadError('ambiguous_reference', `${found.length} images begin with ${prefix}`);
    return found[0];
  }
}
