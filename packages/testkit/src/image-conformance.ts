/** What every ImageStore promises about names and lives of images. Bytes are the business of an adapter's own tests. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import type { ImageStore, Progress } from '@bulkhead/engine/ports/images';

export interface ImageSubject {
  images: ImageStore;
  /** Names a pull finds: two different images, and one that is not there. */
  names: { first: string; second: string; missing: string };
}

const never = (): boolean => false;

export function imageConformance(name: string, make: (t: TestContext) => ImageSubject | Promise<ImageSubject>): void {
  const behaviour = (title: string, body: (subject: ImageSubject) => Promise<void>) =>
    test(`${name}: ${title}`, async (t) => body(await make(t)));

  behaviour('what was pulled is found by name and id, and its progress was told', async ({ images, names }) => {
    const told: Progress[] = [];
    const pulled = await images.pull(names.first, { onProgress: (progress) => told.push(progress) });
    assert.ok(told.length > 0);
    assert.equal(images.find(names.first)?.id, pulled.id);
    assert.equal(images.find(pulled.id)?.id, pulled.id);
    assert.deepEqual(pulled.tags, [names.first]);
    assert.equal((await images.pull(names.first, {})).id, pulled.id);
    assert.equal(images.list().length, 1);
    assert.equal(images.find(names.second), undefined);
    await assert.rejects(images.pull(names.missing, {}), { code: 'no_such_image' });
  });

  behaviour('an image goes with its last name, and a name points at one image', async ({ images, names }) => {
    const { id } = await images.pull(names.first, {});
    const other = await images.pull(names.second, {});
    assert.notEqual(id, other.id);
    images.tag(names.first, 'example.org/also:1');
    assert.deepEqual(
      images.find('example.org/also:1')?.tags.toSorted(),
      ['example.org/also:1', names.first].toSorted(),
    );
    const one = await images.remove(names.first, { force: false, inUse: never });
    assert.deepEqual([one.untagged, one.deleted], [[names.first], []]);
    assert.equal(images.find('example.org/also:1')?.id, id);
    images.tag(other.id, 'example.org/also:1');
    assert.equal(images.find('example.org/also:1')?.id, other.id);
    assert.deepEqual(images.find(id)?.tags, []);
    const last = await images.remove(names.second, { force: false, inUse: never });
    assert.deepEqual(last.deleted, []);
    assert.deepEqual((await images.remove('example.org/also:1', { force: false, inUse: never })).deleted, [other.id]);
    assert.equal(images.find(other.id), undefined);
  });

  behaviour('what is in use stays, whoever cleans up', async ({ images, names }) => {
    const { id } = await images.pull(names.first, {});
    const inUse = (each: string): boolean => each === id;
    await assert.rejects(images.remove(names.first, { force: false, inUse }), { code: 'in_use' });
    assert.deepEqual((await images.remove(names.first, { force: true, inUse })).deleted, []);
    assert.ok(images.find(id));
    assert.deepEqual((await images.prune({ all: true, inUse })).images, []);
    const pruned = await images.prune({ all: false, inUse: never });
    assert.deepEqual(pruned.images, [id]);
    assert.ok(pruned.freedBytes > 0);
    assert.deepEqual(images.list(), []);
  });

  behaviour('prune takes what has no name, and with all also the rest', async ({ images, names }) => {
    const { id } = await images.pull(names.first, {});
    assert.deepEqual((await images.prune({ all: false, inUse: never })).images, []);
    assert.deepEqual((await images.prune({ all: true, inUse: never })).images, [id]);
  });

  behaviour('what was saved can be loaded', async ({ images, names }) => {
    const { id } = await images.pull(names.first, {});
    const archive = await buffer(await images.save([names.first], 'docker-archive'));
    await images.prune({ all: true, inUse: never });
    const [loaded] = await images.load(Readable.from([archive]));
    assert.deepEqual([loaded?.id, loaded?.tags], [id, [names.first]]);
    await assert.rejects(images.save([names.missing], 'docker-archive'), { code: 'no_such_image' });
  });
}
