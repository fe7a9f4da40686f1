/** Folders of the host shown with their owners mapped: what is the host's own stays as it was. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import { OverlayRootfs } from '../../src/rootfs/overlay.ts';
import { temporaryDirectory } from '../temporary-directory.ts';

const ID = 'a'.repeat(32);
const mountsBelow = (folder: string): string[] =>
  readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line.split(' ')[1]?.startsWith(folder));

async function makeHost(t: TestContext): Promise<{ base: string; rootfs: OverlayRootfs; mapped: number }> {
  const base = temporaryDirectory(t);
  const paths = { data: path.join(base, 'data'), run: path.join(base, 'real-run'), tag: 'abcdef' };
  for (const folder of [path.join(paths.data, 'layers'), paths.run]) mkdirSync(folder, { recursive: true });
  // As /var/run is one: the kernel lists mounts by their real place.
  symlinkSync('real-run', path.join(base, 'run'));
  const rootfs = new OverlayRootfs({ paths: { ...paths, run: path.join(base, 'run') } });
  await rootfs.init();
  const map = rootfs.idMap();
  if (map === undefined) {
    t.skip('this host maps no ids: nothing to test');
    throw new Error('skipped');
  }
  return { base, rootfs, mapped: map.hostId };
}

test('a host id is the same id inside, also below a folder closed to others; nothing of it is left', async (t) => {
  const { base, rootfs, mapped } = await makeHost(t);
  const source = path.join(base, 'closed/folder');
  mkdirSync(source, { recursive: true });
  chmodSync(path.join(base, 'closed'), 0o700);
  writeFileSync(path.join(source, 'of-alice'), '');
  chownSync(path.join(source, 'of-alice'), 1000, 1000);
  const shown = rootfs.showTree(ID, source, { readOnly: false, hostOwners: true })!;
  const file = rootfs.showTree(ID, path.join(source, 'of-alice'), { readOnly: true, hostOwners: true })!;
  assert.equal(statSync(shown).uid, mapped);
  assert.equal(statSync(path.join(shown, 'of-alice')).uid, mapped + 1000);
  assert.equal(statSync(file).uid, mapped + 1000);
  assert.throws(() => writeFileSync(file, 'x'), { code: 'EROFS' });
  const plain = rootfs.showTree(ID, source, { readOnly: false, hostOwners: false })!;
  assert.equal(statSync(path.join(plain, 'of-alice')).uid, 1000);
  await rootfs.unmount(ID);
  await rootfs.unmount(ID);
  assert.deepEqual(mountsBelow(base), []);
  assert.deepEqual(readdirSync(path.join(base, 'run/instances', ID)), []);
  assert.deepEqual(readdirSync(source), ['of-alice']);
});

test('what is mounted below the folder stays mounted on the host when the task’s view goes', async (t) => {
  const { base, rootfs } = await makeHost(t);
  const source = path.join(base, 'folder');
  const below = path.join(source, 'below');
  mkdirSync(source);
  // As systemd leaves every mount: what happens to one copy happens to all.
  execFileSync('mount', ['-t', 'tmpfs', 'bulkhead-test', source]);
  execFileSync('mount', ['--make-shared', source]);
  mkdirSync(below);
  execFileSync('mount', ['-t', 'tmpfs', 'bulkhead-test', below]);
  writeFileSync(path.join(below, 'precious'), 'x');
  const shown = rootfs.showTree(ID, source, { readOnly: false, hostOwners: true });
  if (shown === undefined) return t.skip('this kernel maps no ids of a tmpfs (before Linux 6.3)');
  assert.deepEqual(readdirSync(path.join(shown, 'below')), ['precious']);
  mkdirSync(path.join(source, 'later'));
  execFileSync('mount', ['-t', 'tmpfs', 'bulkhead-test', path.join(source, 'later')]);
  writeFileSync(path.join(source, 'later/unmapped'), 'x');
  assert.deepEqual(readdirSync(path.join(shown, 'later')), [], 'what is mounted later is not shown unmapped');
  await rootfs.unmount(ID);
  assert.deepEqual(readdirSync(below), ['precious']);
  assert.equal(mountsBelow(source).length, 3);
});

test('a program of root in it gives nobody root’s ids', async (t) => {
  const { base, rootfs } = await makeHost(t);
  const source = path.join(base, 'folder');
  mkdirSync(source);
  chmodSync(base, 0o711);
  copyFileSync('/usr/bin/id', path.join(source, 'id'));
  chmodSync(path.join(source, 'id'), 0o4755);
  const asNobody = (program: string): string =>
    spawnSync(program, ['-u'], { uid: 65534, gid: 65534, encoding: 'utf8' }).stdout.trim();
  // On the host itself it does, which shows that the test can tell.
  assert.equal(asNobody(path.join(source, 'id')), '0');
  const shown = rootfs.showTree(ID, source, { readOnly: false, hostOwners: true })!;
  assert.match(mountsBelow(realpathSync(shown))[0]!, /nosuid,nodev/);
  assert.equal(asNobody(path.join(shown, 'id')), '65534');
});

test('a folder with something below it that maps no ids is not shown half', async (t) => {
  const { base, rootfs } = await makeHost(t);
  const source = path.join(base, 'folder');
  mkdirSync(path.join(source, 'proc'), { recursive: true });
  execFileSync('mount', ['-t', 'proc', 'proc', path.join(source, 'proc')]);
  assert.equal(rootfs.showTree(ID, source, { readOnly: false, hostOwners: true }), undefined);
  await rootfs.unmount(ID);
  assert.equal(mountsBelow(base).length, 1);
});
