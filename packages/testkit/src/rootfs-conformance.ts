/** What every RootfsStore promises. How layers are put together is the business of an adapter's own tests. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { RootfsStore } from '@bulkhead/engine/ports/rootfs';

export interface RootfsSubject {
  rootfs: RootfsStore;
  layers: string[];
}

const [ONE, TWO] = ['1'.repeat(32), '2'.repeat(32)];

export function rootfsConformance(
  name: string,
  make: (t: TestContext) => RootfsSubject | Promise<RootfsSubject>,
): void {
  const behaviour = (title: string, body: (subject: RootfsSubject) => Promise<void>) =>
    test(`${name}: ${title}`, async (t) => body(await make(t)));

  behaviour('each instance has a root of its own, and what it wrote is there again', async ({ rootfs, layers }) => {
    const [one, two] = [await rootfs.mount(ONE, layers), await rootfs.mount(TWO, layers)];
    assert.notEqual(one, two);
    assert.equal(await rootfs.mount(ONE, layers), one, 'mounting again is no harm');
    writeFileSync(join(one, 'mine'), 'of one');
    assert.equal(await rootfs.readFile(two, '/mine', 100), undefined);
    await rootfs.unmount(ONE);
    await rootfs.unmount(ONE);
    assert.equal(readFileSync(join(await rootfs.mount(ONE, layers), 'mine'), 'utf8'), 'of one');
    for (const id of [ONE, TWO]) {
      await rootfs.unmount(id);
      await rootfs.discard(id);
    }
  });

  behaviour('a path never leads out of the root', async ({ rootfs, layers }) => {
    const root = await rootfs.mount(ONE, layers);
    for (const path of ['/made/here', '../made/there', '/a/../../made/too']) {
      const made = await rootfs.ensureDirectory(root, path);
      assert.ok(made.startsWith(`${root}/`), made);
      assert.ok(statSync(made).isDirectory());
    }
    assert.equal(await rootfs.readFile(root, '/../../../../etc/passwd', 1 << 20), undefined);
    mkdirSync(join(root, 'etc'), { recursive: true });
    writeFileSync(join(root, 'etc/passwd'), 'inside');
    assert.equal((await rootfs.readFile(root, '/../etc/passwd', 1 << 20))?.toString(), 'inside');
    await rootfs.unmount(ONE);
    await rootfs.discard(ONE);
  });

  behaviour('an instance is a leftover until it is discarded, which may be done again', async ({ rootfs, layers }) => {
    await rootfs.mount(ONE, layers);
    assert.deepEqual(await rootfs.leftovers(), [ONE]);
    await rootfs.unmount(ONE);
    assert.deepEqual(await rootfs.leftovers(), [ONE]);
    for (const _time of [1, 2]) await rootfs.discard(ONE);
    assert.deepEqual(await rootfs.leftovers(), []);
    await rootfs.unmount(TWO);
    await rootfs.discard(TWO);
  });
}
