/** Root file systems on the real kernel: shared idmapped layers, a writable layer each, confined paths, nothing left. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import { OverlayRootfs } from '../../src/rootfs/overlay.ts';
import { temporaryDirectory } from '../temporary-directory.ts';

const ID = 'a'.repeat(32);
const layer = (n: number): string => `sha256:${n.toString(16).padStart(2, '0').repeat(32)}`;
const mountsBelow = (directory: string): string[] =>
  readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((mount) => mount.startsWith(directory));
const overlayReads = (root: string, name: string): string => readFileSync(path.join(root, name), 'utf8');

interface Host {
  rootfs: OverlayRootfs;
  base: string;
  data: string;
  run: string;
}

type Form = 'mapped' | 'shifted';

async function makeHost(t: TestContext, form: Form = 'mapped'): Promise<Host> {
  const base = temporaryDirectory(t);
  const data = path.join(base, 'data');
  const run = path.join(base, 'run');
  mkdirSync(path.join(data, 'layers'), { recursive: true });
  const rootfs = new OverlayRootfs({ paths: { data, run, tag: 'abcdef' }, forms: [form] });
  await rootfs.init();
  return { rootfs, base, data, run };
}

/** A squashfs with what `fill` puts into a directory. */
function addLayer(host: Host, diffId: string, fill: (directory: string) => void): void {
  const directory = mkdtempSync(path.join(host.base, 'layer-'));
  fill(directory);
  const tar = spawnSync('tar', ['-c', '-C', directory, '.']).stdout;
  const made = spawnSync('sqfstar', ['-noI', '-quiet', '-no-progress', host.rootfs.layerFile(diffId)], { input: tar });
  assert.equal(made.status, 0, made.stderr.toString());
}

// Kernels before 6.2 map no ids of a squashfs.
for (const form of ['mapped', 'shifted'] as const) {
  test(`layers are merged, mapped and shared; what one instance writes no other sees (${form})`, async (t) => {
    const host = await makeHost(t, form);
    addLayer(host, layer(1), (directory) => {
      writeFileSync(path.join(directory, 'low'), 'low');
      writeFileSync(path.join(directory, 'both'), 'low');
      writeFileSync(path.join(directory, 'gone'), 'low');
    });
    addLayer(host, layer(2), (directory) => {
      writeFileSync(path.join(directory, 'both'), 'high');
      // A whiteout, as the store prepares it.
      spawnSync('mknod', [path.join(directory, 'gone'), 'c', '0', '0']);
    });
    const one = await host.rootfs.mount(ID, [layer(1), layer(2)]);
    const two = await host.rootfs.mount('b'.repeat(32), [layer(1), layer(2)]);
    assert.equal(await host.rootfs.mount(ID, [layer(1), layer(2)]), one);
    assert.equal(overlayReads(one, 'both'), 'high');
    assert.equal(overlayReads(one, 'low'), 'low');
    assert.ok(!existsSync(path.join(one, 'gone')));
    const owner = host.rootfs.idMap()?.hostId ?? 0;
    assert.equal(statSync(path.join(one, 'low')).uid, owner);
    assert.deepEqual([statSync(one).uid, statSync(one).mode & 0o7777], [owner, 0o755]);
    writeFileSync(path.join(one, 'low'), 'changed');
    assert.equal(overlayReads(two, 'low'), 'low');
    assert.equal(statSync(path.join(one, 'low')).uid, owner);
    assert.equal(mountsBelow(path.join(host.run, 'l')).length, 2);
    assert.deepEqual((await host.rootfs.leftovers()).sort(), [ID, 'b'.repeat(32)]);
  });

  test(`a stopped instance keeps its writable layer until it is discarded, and nothing is left after (${form})`, async (t) => {
    const host = await makeHost(t, form);
    addLayer(host, layer(1), (directory) => writeFileSync(path.join(directory, 'f'), 'f'));
    const root = await host.rootfs.mount(ID, [layer(1)]);
    writeFileSync(path.join(root, 'mine'), 'kept');
    await assert.rejects(host.rootfs.discard(ID), /still mounted/);
    await host.rootfs.unmount(ID);
    await host.rootfs.unmount(ID);
    assert.deepEqual(await host.rootfs.leftovers(), [ID]);
    assert.equal(overlayReads(await host.rootfs.mount(ID, [layer(1)]), 'mine'), 'kept');
    await host.rootfs.unmount(ID);
    await host.rootfs.discard(ID);
    await host.rootfs.discard(ID);
    assert.deepEqual(await host.rootfs.leftovers(), []);
    host.rootfs.releaseUnused();
    assert.equal(mountsBelow(path.join(host.run, 'l')).length, 1);
    rmSync(host.rootfs.layerFile(layer(1)));
    host.rootfs.releaseUnused();
    assert.deepEqual(mountsBelow(host.base), []);
    assert.equal(spawnSync('losetup', ['-a']).stdout.toString().includes(host.base), false);
    await assert.rejects(host.rootfs.mount(ID, [layer(1)]), { code: 'no_such_image' });
  });

  test(`an instance that runs keeps its layers when they are let go, and mounts take over after an engine restart (${form})`, async (t) => {
    const host = await makeHost(t, form);
    addLayer(host, layer(1), (directory) => writeFileSync(path.join(directory, 'f'), 'f'));
    const root = await host.rootfs.mount(ID, [layer(1)]);
    rmSync(host.rootfs.layerFile(layer(1)));
    host.rootfs.releaseUnused();
    assert.equal(mountsBelow(path.join(host.run, 'l')).length, 1);
    const next = new OverlayRootfs({ paths: { data: host.data, run: host.run, tag: 'abcdef' }, forms: [form] });
    await next.init();
    assert.equal(await next.mount(ID, [layer(1)]), root);
    next.unmountAll();
    assert.equal(overlayReads(root, 'f'), 'f');
    await next.unmount(ID);
    assert.deepEqual(mountsBelow(host.base), []);
  });
}

test('an image without layers and one of 120 layers are mounted', async (t) => {
  const host = await makeHost(t);
  const none = await host.rootfs.mount('c'.repeat(32), []);
  assert.deepEqual(readdirSync(none), []);
  addLayer(host, layer(1), (directory) => writeFileSync(path.join(directory, 'f1'), 'x'));
  const layers = Array.from({ length: 120 }, (_, index) => layer(index + 1));
  for (const diffId of layers.slice(1))
    spawnSync('cp', [host.rootfs.layerFile(layer(1)), host.rootfs.layerFile(diffId)]);
  const root = await host.rootfs.mount(ID, layers);
  assert.deepEqual(readdirSync(root), ['f1']);
  writeFileSync(path.join(root, 'new'), 'x');
});

test('a mount takes few milliseconds once the layers are there', async (t) => {
  const host = await makeHost(t);
  addLayer(host, layer(1), (directory) => writeFileSync(path.join(directory, 'f'), 'f'));
  const times: number[] = [];
  for (let n = 0; n < 30; n++) {
    const started = performance.now();
    await host.rootfs.mount(n.toString(16).padStart(32, '0'), [layer(1)]);
    times.push(performance.now() - started);
  }
  const median = times.sort((a, b) => a - b)[15]!;
  assert.ok(median < 3, `median ${median} ms`);
});

test('links in the root lead nowhere outside: read and make directories stay inside', async (t) => {
  const host = await makeHost(t);
  const secret = path.join(host.base, 'secret');
  writeFileSync(secret, 'host');
  addLayer(host, layer(1), (directory) => {
    symlinkSync(secret, path.join(directory, 'absolute'));
    symlinkSync(`${'../'.repeat(20)}${secret}`, path.join(directory, 'relative'));
    symlinkSync('/etc', path.join(directory, 'link'));
    symlinkSync('nowhere', path.join(directory, 'dangling'));
    symlinkSync('loop', path.join(directory, 'loop'));
    symlinkSync('/proc/self/root', path.join(directory, 'magic'));
    mkdirSync(path.join(directory, 'etc'));
    writeFileSync(path.join(directory, 'etc/passwd'), 'root:x:0:0::/:/bin/sh\n');
    writeFileSync(path.join(directory, 'file'), 'x');
    spawnSync('mkfifo', [path.join(directory, 'pipe')]);
  });
  const { rootfs } = host;
  const root = await rootfs.mount(ID, [layer(1)]);
  for (const name of [
    'absolute',
    'relative',
    'dangling',
    'loop',
    'pipe',
    'etc',
    `../${secret}`,
    'magic/etc/hostname',
  ]) {
    assert.equal(await rootfs.readFile(root, name, 100), undefined, name);
  }
  assert.match((await rootfs.readFile(root, '/link/passwd', 100))!.toString(), /^root/);
  await assert.rejects(rootfs.readFile(root, 'etc/passwd', 5), { code: 'too_large' });
  assert.equal(await rootfs.ensureDirectory(root, '/link/made/deep'), path.join(root, 'etc/made/deep'));
  assert.equal(statSync(path.join(root, 'etc/made')).uid, rootfs.idMap()?.hostId ?? 0);
  assert.equal(await rootfs.ensureDirectory(root, '../../../up'), path.join(root, 'up'));
  for (const name of ['file/x', 'dangling', 'loop/x']) {
    await assert.rejects(rootfs.ensureDirectory(root, name), { code: 'invalid_mount' }, name);
  }
  assert.ok(!existsSync('/up') && !existsSync('/etc/made'));
});

test('ids and layers that are none are refused', async (t) => {
  const { rootfs } = await makeHost(t);
  await assert.rejects(rootfs.mount('../../etc', []), /not an instance id/);
  await assert.rejects(rootfs.mount(ID, ['sha256:../../etc/passwd']), { code: 'invalid_manifest' });
});
