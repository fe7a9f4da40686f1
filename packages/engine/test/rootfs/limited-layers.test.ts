/** Writable layers with a size limit on the real kernel: full is full, the host is not, and nothing is left. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import { LimitedLayers } from '../../src/rootfs/limited-layers.ts';
import { OverlayRootfs } from '../../src/rootfs/overlay.ts';
import { temporaryDirectory } from '../temporary-directory.ts';

const ID = 'a'.repeat(32);
const OTHER = 'b'.repeat(32);
const MIB = 2 ** 20;
const LIMIT = 64 * MIB;

interface Host {
  base: string;
  paths: { data: string; run: string; tag: string };
  rootfs: OverlayRootfs;
  mounts(): string[];
  loops(): string[];
}

async function makeHost(t: TestContext): Promise<Host> {
  const base = temporaryDirectory(t);
  const paths = { data: path.join(base, 'data'), run: path.join(base, 'run'), tag: 'abcdef' };
  const lines = (text: string): string[] => text.split('\n').filter((line) => line.includes(base));
  const mounts = (): string[] => lines(readFileSync('/proc/self/mounts', 'utf8')).map((line) => line.split(' ')[1]!);
  for (const folder of [path.join(paths.data, 'layers'), paths.run]) mkdirSync(folder, { recursive: true });
  const rootfs = new OverlayRootfs({ paths });
  await rootfs.init();
  const loops = (): string[] => lines(spawnSync('losetup', ['--list', '--noheadings'], { encoding: 'utf8' }).stdout);
  return { base, paths, rootfs, mounts, loops };
}

/** How many bytes go in before it is full. */
function fill(file: string): number {
  const chunk = Buffer.alloc(MIB, 1);
  const fd = openSync(file, 'w');
  let written = 0;
  try {
    for (;;) written += writeSync(fd, chunk);
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
    return written;
  } finally {
    closeSync(fd);
  }
}

test('a layer with a limit is full at its size; neighbours and the host are not', async (t) => {
  const { paths, rootfs } = await makeHost(t);
  const root = await rootfs.mount(ID, [], LIMIT);
  const other = await rootfs.mount(OTHER, []);
  const written = fill(path.join(root, 'all'));
  assert.ok(written > LIMIT * 0.8 && written <= LIMIT, `${written} bytes went in`);
  assert.equal(statSync(root).uid, rootfs.idMap()?.hostId ?? 0);
  writeFileSync(path.join(other, 'more'), Buffer.alloc(2 * LIMIT));
  assert.equal(statSync(path.join(other, 'more')).size, 2 * LIMIT);
  assert.ok(statfsSync(paths.data).bavail > 0);
  rmSync(path.join(root, 'all'));
  writeFileSync(path.join(root, 'again'), Buffer.alloc(8 * MIB));
});

test('it is kept between runs, keeps its size, and is gone when it is discarded: mounts, loop device and file', async (t) => {
  const { paths, rootfs, mounts, loops } = await makeHost(t);
  const instance = path.join(paths.data, 'instances', ID);
  const root = await rootfs.mount(ID, [], LIMIT);
  assert.equal(await rootfs.mount(ID, [], LIMIT), root);
  // The overlay is all that is mounted: what unmounts it has unmounted everything.
  assert.deepEqual(mounts(), [root]);
  assert.equal(loops().length, 1);
  writeFileSync(path.join(root, 'mine'), 'kept');
  await assert.rejects(rootfs.discard(ID), /still mounted/);
  await rootfs.unmount(ID);
  await rootfs.unmount(ID);
  assert.deepEqual([mounts(), loops()], [[], []]);
  assert.deepEqual(await rootfs.leftovers(), [ID]);

  // Whatever is asked for later.
  const next = new OverlayRootfs({ paths });
  await next.init();
  assert.equal(readFileSync(path.join(await next.mount(ID, []), 'mine'), 'utf8'), 'kept');
  assert.ok(statfsSync(root).blocks * statfsSync(root).bsize <= LIMIT);
  await next.unmount(ID);
  await next.discard(ID);
  await next.discard(ID);
  assert.deepEqual([mounts(), loops(), await next.leftovers(), readdirSync(instance)], [[], [], [], []]);
});

test('without a limit nothing is made: the layer is a directory', async (t) => {
  const { paths, rootfs, loops } = await makeHost(t);
  await rootfs.mount(ID, []);
  await rootfs.mount(OTHER, [], 0);
  assert.deepEqual(loops(), []);
  assert.ok(!existsSync(path.join(paths.data, 'disks')));
  // Nor does a directory that is there become something else.
  await rootfs.unmount(ID);
  await rootfs.mount(ID, [], LIMIT);
  assert.deepEqual(loops(), []);
});

test('what an engine left that died in the middle of a mount is taken away', async (t) => {
  const { paths, rootfs, mounts, loops } = await makeHost(t);
  await new LimitedLayers(paths).show(ID, LIMIT);
  writeFileSync(path.join(paths.data, 'instances', ID, 'writable.ext4.partial'), 'half');
  assert.equal(mounts().length, 1);
  assert.deepEqual(await rootfs.leftovers(), [ID]);
  await rootfs.unmount(ID);
  await rootfs.discard(ID);
  assert.deepEqual([mounts(), loops(), readdirSync(path.join(paths.data, 'instances', ID))], [[], [], []]);
});

test('a layer still in use after its unmount is the same one at the next mount, not a second view that damages it', async (t) => {
  const { rootfs, loops } = await makeHost(t);
  const root = await rootfs.mount(ID, [], LIMIT);
  const held = openSync(path.join(root, 'held'), 'w');
  t.after(() => closeSync(held));
  await rootfs.unmount(ID);
  assert.equal(loops().length, 1);
  writeSync(held, 'late');
  const again = await rootfs.mount(ID, [], LIMIT);
  assert.equal(loops().length, 1);
  assert.equal(readFileSync(path.join(again, 'held'), 'utf8'), 'late');
});

test('a limit too small for anything and a damaged layer are refused, with nothing left mounted', async (t) => {
  const { paths, rootfs, mounts, loops } = await makeHost(t);
  await assert.rejects(rootfs.mount(ID, [], MIB), { code: 'invalid_limit' });
  await rootfs.mount(ID, [], LIMIT);
  await rootfs.unmount(ID);
  writeFileSync(path.join(paths.data, 'instances', ID, 'writable.ext4'), Buffer.alloc(LIMIT));
  await assert.rejects(rootfs.mount(ID, [], LIMIT), { code: 'start_failed' });
  assert.deepEqual([mounts(), loops()], [[], []]);
});
