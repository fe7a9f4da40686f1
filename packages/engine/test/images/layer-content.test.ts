/** What a layer holds arrives in its squashfs: names, links, owners, attributes, whiteouts; seen through a real mount. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { buildLayer } from '../../src/images/layer-builder.ts';
import { END_OF_ARCHIVE, formatHeader, padding, type TarEntry } from '../../src/images/tar-format.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { sha256 } from './registry.ts';

function entry(part: Partial<TarEntry> & { name: string }, content = ''): Buffer {
  const plain = { linkName: '', mode: 0o644, uid: 0, gid: 0, mtime: 0, deviceMajor: 0, deviceMinor: 0 };
  const whole: TarEntry = { kind: 'file', sizeBytes: content.length, ...plain, xattrs: new Map(), ...part };
  return Buffer.concat([formatHeader(whole), Buffer.from(content), Buffer.alloc(padding(content.length))]);
}

async function mounted(t: TestContext, parts: Buffer[], compress = (tar: Buffer): Buffer => tar): Promise<string> {
  const directory = temporaryDirectory(t);
  const tar = Buffer.concat([...parts, END_OF_ARCHIVE]);
  const blob = compress(tar);
  const blobPath = path.join(directory, 'blob');
  writeFileSync(blobPath, blob);
  const target = path.join(directory, 'layer.sqfs');
  const files = { blobPath, temporary: path.join(directory, 'building'), target };
  await buildLayer({ ...files, blobDigest: sha256(blob), blobBytes: blob.length, diffId: sha256(tar) });
  const root = path.join(directory, 'root');
  mkdirSync(root);
  assert.equal(spawnSync('mount', ['-o', 'loop,ro', target, root]).status, 0);
  return root;
}

/** Node has no getxattr; python3 prints it in hex, nothing where there is none. */
function xattr(file: string, name: string): string {
  const program =
    'import os,sys\ntry: print(os.getxattr(sys.argv[1],sys.argv[2],follow_symlinks=False).hex())\nexcept OSError: pass';
  return spawnSync('python3', ['-c', program, file, name]).stdout.toString().trim();
}

const isWhiteout = (file: string): boolean => lstatSync(file).isCharacterDevice() && lstatSync(file).rdev === 0;

test('names, links, owners, modes and long paths arrive as they are', async (t) => {
  const long = `${'deep/'.repeat(60)}file`;
  const bytes = Buffer.from('ümläut\xff', 'latin1').toString('latin1');
  const root = await mounted(t, [
    entry({ name: '/abs/file', mode: 0o4755, uid: 3_000_000, gid: 70_000 }, 'hello'),
    entry({ name: 'hard', kind: 'link', linkName: './abs/file' }),
    entry({ name: 'soft', kind: 'symlink', linkName: '../../../etc/passwd' }),
    entry({ name: long }, 'far'),
    entry({ name: bytes }, 'b'),
    entry({ name: 'pipe', kind: 'fifo' }),
  ]);
  const found = statSync(path.join(root, 'abs/file'));
  assert.equal(found.mode & 0o7777, 0o4755);
  assert.deepEqual([found.uid, found.gid, found.nlink], [3_000_000, 70_000, 2]);
  assert.equal(readlinkSync(path.join(root, 'soft')), '../../../etc/passwd');
  assert.equal(readFileSync(path.join(root, long), 'utf8'), 'far');
  assert.ok(readdirSync(root, { encoding: 'latin1' }).includes(bytes));
  assert.ok(lstatSync(path.join(root, 'pipe')).isFIFO());
});

test('device nodes are left out', async (t) => {
  const root = await mounted(t, [
    entry({ name: 'sda', kind: 'block', deviceMajor: 8, deviceMinor: 0 }),
    entry({ name: 'mem', kind: 'character', deviceMajor: 1, deviceMinor: 1 }),
    entry({ name: 'file' }),
  ]);
  assert.deepEqual(readdirSync(root), ['file']);
});

test('a binary security.capability survives and attributes that steer the kernel do not', async (t) => {
  const capability = Buffer.from('0100000280040000ff0000000000000000000080', 'hex');
  const xattrs = new Map([
    ['security.capability', capability.toString('latin1')],
    ['user.mine', '\x00\x80\xff'],
    ['trusted.overlay.opaque', 'y'],
    ['trusted.overlay.redirect', '/etc'],
    ['security.selinux', 'evil'],
    ['user.overlay.opaque', 'y'],
  ]);
  const root = await mounted(t, [entry({ name: 'ping', xattrs }), entry({ name: 'd', kind: 'directory', xattrs })]);
  for (const name of ['ping', 'd']) {
    const file = path.join(root, name);
    assert.equal(xattr(file, 'user.mine'), '0080ff');
    for (const gone of [
      'trusted.overlay.opaque',
      'trusted.overlay.redirect',
      'security.selinux',
      'user.overlay.opaque',
    ]) {
      assert.equal(xattr(file, gone), '', gone);
    }
  }
  assert.equal(xattr(path.join(root, 'ping'), 'security.capability'), capability.toString('hex'));
});

test('whiteouts become overlay devices, opaque markers attributes, wherever in the archive they stand', async (t) => {
  const root = await mounted(t, [
    entry({ name: 'etc/.wh.gone' }),
    entry({ name: 'before', kind: 'directory', mode: 0o700 }),
    entry({ name: 'before/file' }),
    entry({ name: 'before/.wh..wh..opq' }),
    entry({ name: 'after/.wh..wh..opq' }),
    entry({ name: 'after', kind: 'directory', mode: 0o750 }),
    entry({ name: 'never/.wh..wh..opq' }),
    entry({ name: '.wh..wh.plnk/1.2' }),
    entry({ name: 'own', kind: 'character' }),
  ]);
  assert.ok(isWhiteout(path.join(root, 'etc/gone')));
  assert.ok(isWhiteout(path.join(root, 'own')));
  for (const name of ['before', 'after', 'never'])
    assert.equal(xattr(path.join(root, name), 'trusted.overlay.opaque'), '79', name);
  assert.equal(statSync(path.join(root, 'before')).mode & 0o7777, 0o700);
  assert.equal(statSync(path.join(root, 'after')).mode & 0o7777, 0o750);
  assert.deepEqual(readdirSync(path.join(root, 'before')), ['file']);
  assert.ok(!existsSync(path.join(root, '.wh..wh.plnk')));
});

test('of a name that comes twice the last one counts, and what is hidden and present is present', async (t) => {
  const root = await mounted(t, [
    entry({ name: 'twice' }, 'old'),
    entry({ name: 'twice' }, 'new'),
    entry({ name: '.wh.file' }),
    entry({ name: 'file' }, 'here'),
    entry({ name: 'dir', kind: 'directory' }),
    entry({ name: '.wh.dir' }),
    entry({ name: 'dir/x' }),
  ]);
  assert.equal(readFileSync(path.join(root, 'twice'), 'utf8'), 'new');
  assert.equal(readFileSync(path.join(root, 'file'), 'utf8'), 'here');
  assert.equal(xattr(path.join(root, 'dir'), 'trusted.overlay.opaque'), '79');
});

test('a zstd layer and an empty layer are built', async (t) => {
  const root = await mounted(t, [entry({ name: 'f' }, 'z')], (tar) => zstdCompressSync(tar));
  assert.equal(readFileSync(path.join(root, 'f'), 'utf8'), 'z');
  assert.deepEqual(readdirSync(await mounted(t, [])), []);
});
