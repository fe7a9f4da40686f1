/** Layers for kernels that map no ids: copies with other owners, and otherwise the same to the last attribute. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import { OverlayRootfs } from '../../src/rootfs/overlay.ts';
import { temporaryDirectory } from '../temporary-directory.ts';

const LAYER = `sha256:${'c1'.repeat(32)}`;
const instance = (n: number): string => n.toString(16).padStart(32, '0');
/** More than one block of the table holds. */
const OWNERS = 2500;

interface Host {
  base: string;
  data: string;
  rootfs: OverlayRootfs;
}

async function makeHost(t: TestContext, fill: (folder: string) => void): Promise<Host> {
  const base = temporaryDirectory(t);
  const data = path.join(base, 'data');
  for (const folder of ['data/layers', 'run', 'tree']) mkdirSync(path.join(base, folder), { recursive: true });
  const rootfs = new OverlayRootfs({ paths: { data, run: path.join(base, 'run'), tag: 'abcdef' }, forms: ['shifted'] });
  await rootfs.init();
  assert.equal(rootfs.idMap()?.hostId, 100_000);
  fill(path.join(base, 'tree'));
  const tar = spawnSync('tar', ['-c', '--numeric-owner', '-C', path.join(base, 'tree'), '.'], { maxBuffer: 1 << 26 });
  const made = spawnSync('sqfstar', ['-noI', '-quiet', rootfs.layerFile(LAYER)], { input: tar.stdout });
  assert.equal(made.status, 0, made.stderr.toString());
  return { base, data, rootfs };
}

test('every owner is in the range of the instance, whoever the image says; what is outside of it is nobody', async (t) => {
  const { base, rootfs } = await makeHost(t, (tree) => {
    for (let id = 0; id < OWNERS; id++) {
      writeFileSync(path.join(tree, `f${id}`), '');
      lchownSync(path.join(tree, `f${id}`), id, id + OWNERS);
    }
    for (const far of [65_535, 65_536, 100_000, 4_000_000_000]) {
      writeFileSync(path.join(tree, `far${far}`), '');
      lchownSync(path.join(tree, `far${far}`), far, far);
    }
    symlinkSync('/etc/shadow', path.join(tree, 'link'));
    lchownSync(path.join(tree, 'link'), 7, 8);
  });
  const root = await rootfs.mount(instance(1), [LAYER]);
  const owner = (name: string): number[] => {
    const { uid, gid } = lstatSync(path.join(root, name));
    return [uid, gid];
  };
  for (let id = 0; id < OWNERS; id++) assert.deepEqual(owner(`f${id}`), [100_000 + id, 100_000 + id + OWNERS]);
  assert.deepEqual(owner('link'), [100_007, 100_008]);
  assert.deepEqual(owner('far65535'), [165_535, 165_535]);
  for (const far of [65_536, 100_000, 4_000_000_000]) assert.deepEqual(owner(`far${far}`), [65_534, 65_534]);
  assert.equal(lstatSync(path.join(base, 'tree/f3')).uid, 3);
});

test('nothing but the table of owners is different, and the prepared layer that a microVM uses is not touched', async (t) => {
  const { data, rootfs } = await makeHost(t, (tree) => {
    writeFileSync(path.join(tree, 'su'), Buffer.alloc(300_000, 'program'));
    chmodSync(path.join(tree, 'su'), 0o4755);
  });
  const before = readFileSync(rootfs.layerFile(LAYER));
  const root = await rootfs.mount(instance(1), [LAYER]);
  assert.equal(lstatSync(path.join(root, 'su')).mode & 0o7777, 0o4755);
  const copy = readFileSync(path.join(data, 'shifted', `${'c1'.repeat(32)}.sqfs`));
  assert.ok(before.equals(readFileSync(rootfs.layerFile(LAYER))));
  assert.equal(copy.length, before.length);
  const changed = [...copy.keys()].filter((at) => copy[at] !== before[at]);
  // The one owner there is: 0 became 100000, which is 0x0186a0.
  assert.deepEqual(
    changed.map((at) => copy[at]),
    [0xa0, 0x86, 0x01],
  );
});

test('many at once make one copy; it goes with its layer, as does what a crash left of one', async (t) => {
  const { data, rootfs } = await makeHost(t, (tree) => writeFileSync(path.join(tree, 'f'), 'f'));
  const shifted = path.join(data, 'shifted');
  mkdirSync(shifted, { recursive: true });
  writeFileSync(path.join(shifted, `${'c1'.repeat(32)}.sqfs.partial`), 'half');
  writeFileSync(path.join(shifted, `${'d2'.repeat(32)}.sqfs`), 'of a layer that is gone');
  const roots = await Promise.all([1, 2, 3, 4].map((n) => rootfs.mount(instance(n), [LAYER])));
  for (const root of roots) assert.equal(readFileSync(path.join(root, 'f'), 'utf8'), 'f');
  rootfs.releaseUnused();
  assert.deepEqual(readdirSync(shifted), [`${'c1'.repeat(32)}.sqfs`]);
  rmSync(rootfs.layerFile(LAYER));
  rootfs.releaseUnused();
  assert.deepEqual(readdirSync(shifted), []);
  assert.equal(readFileSync(path.join(roots[0]!, 'f'), 'utf8'), 'f');
});

test('a layer that is cut short or none is refused, and no copy of it stays', async (t) => {
  const { data, rootfs } = await makeHost(t, (tree) => writeFileSync(path.join(tree, 'f'), 'f'));
  truncateSync(rootfs.layerFile(LAYER), 100);
  await assert.rejects(rootfs.mount(instance(1), [LAYER]), /cut short/);
  writeFileSync(rootfs.layerFile(LAYER), Buffer.alloc(4096));
  await assert.rejects(rootfs.mount(instance(1), [LAYER]), /not a squashfs/);
  assert.deepEqual(readdirSync(path.join(data, 'shifted')), []);
});
