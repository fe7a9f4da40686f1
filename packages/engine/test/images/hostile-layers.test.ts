/** Layers made to harm: refused, or made harmless. Nothing of a layer is ever written into the host's file system. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { buildLayer, type LayerJob } from '../../src/images/layer-builder.ts';
import { END_OF_ARCHIVE, formatHeader, padding, type TarEntry } from '../../src/images/tar-format.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { sha256 } from './registry.ts';

function entry(part: Partial<TarEntry> & { name: string }, content = ''): Buffer {
  const whole: TarEntry = {
    kind: 'file',
    linkName: '',
    mode: 0o644,
    uid: 0,
    gid: 0,
    sizeBytes: content.length,
    mtime: 0,
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: new Map(),
    ...part,
  };
  return Buffer.concat([formatHeader(whole), Buffer.from(content), Buffer.alloc(padding(content.length))]);
}

async function build(t: TestContext, parts: Buffer[], change: Partial<LayerJob> = {}): Promise<void> {
  const directory = temporaryDirectory(t);
  const tar = Buffer.concat([...parts, END_OF_ARCHIVE]);
  const blob = gzipSync(tar, { level: 1 });
  const blobPath = path.join(directory, 'blob');
  writeFileSync(blobPath, blob);
  const files = { blobPath, temporary: path.join(directory, 'building'), target: path.join(directory, 'layer.sqfs') };
  const job = { ...files, blobDigest: sha256(blob), blobBytes: blob.length, diffId: sha256(tar), ...change };
  await buildLayer(job);
}

const refused: [string, Buffer[], RegExp][] = [
  ['.. in a name', [entry({ name: 'a/../../etc/x' })], /has a \.\. in it/],
  ['.. behind a leading slash', [entry({ name: '/../x' })], /has a \.\. in it/],
  ['a hard link out', [entry({ name: 'h', kind: 'link', linkName: '../../etc/shadow' })], /has a \.\. in it/],
  [
    'a hard link to an absolute host file',
    [entry({ name: 'h', kind: 'link', linkName: '/etc/shadow' })],
    /no file of this layer/,
  ],
  ['a hard link to itself', [entry({ name: 'h', kind: 'link', linkName: 'h' })], /no file of this layer/],
  [
    'a file below a symbolic link',
    [entry({ name: 'l', kind: 'symlink', linkName: '/etc' }), entry({ name: 'l/cron.d/x' }, 'evil')],
    /lies below "l"/,
  ],
  ['a whiteout of ..', [entry({ name: 'a/.wh...' })], /hides no name/],
  ['a whiteout of .', [entry({ name: 'a/.wh..' })], /hides no name/],
  ['an empty whiteout', [entry({ name: '.wh.' })], /hides no name/],
  ['a file below a whiteout', [entry({ name: '.wh.a/b' })], /below the whiteout/],
  ['a name part over 255 bytes', [entry({ name: `${'x'.repeat(256)}` })], /longer than 255/],
  ['a name over 4095 bytes', [entry({ name: 'x/'.repeat(2050) })], /longer than 4095/],
  ['an empty symbolic link', [entry({ name: 'l', kind: 'symlink' })], /no valid target/],
  ['a zero byte in a name', [entry({ name: `${'y'.repeat(120)}\0z` })], /zero byte/],
  [
    'an attribute beyond 64 KiB',
    [entry({ name: 'f', xattrs: new Map([['user.x', 'x'.repeat(70_000)]]) })],
    /attribute too large/,
  ],
  [
    'a pax header beyond 1 MiB',
    [entry({ name: 'f', xattrs: new Map([['user.x', 'x'.repeat(1_100_000)]]) })],
    /pax header is larger/,
  ],
];

for (const [what, parts, expected] of refused) {
  test(`${what} is refused`, async (t) => {
    await assert.rejects(build(t, parts), (error: Error & { code: string }) => {
      assert.equal(error.code, 'archive_rejected');
      assert.match(error.message, expected);
      return true;
    });
  });
}

test('more entries or bytes than the limit are refused', async (t) => {
  const parts = Array.from({ length: 50 }, (_, index) => entry({ name: `f${index}` }, 'x'.repeat(100)));
  await assert.rejects(build(t, parts, { limits: { entries: 49, unpackedBytes: 1e9 } }), /more than 49 entries/);
  await assert.rejects(build(t, parts, { limits: { entries: 50, unpackedBytes: 4999 } }), /more than 4999 bytes/);
  await build(t, parts, { limits: { entries: 50, unpackedBytes: 5000 } });
});

test('wrong digests, sizes, damaged compression and a truncated archive are refused', async (t) => {
  const parts = [entry({ name: 'f' }, 'content')];
  const other = `sha256:${'0'.repeat(64)}`;
  await assert.rejects(build(t, parts, { diffId: other }), { code: 'digest_mismatch' });
  await assert.rejects(build(t, parts, { blobDigest: other }), { code: 'digest_mismatch' });
  await assert.rejects(build(t, parts, { blobBytes: 10 }), { code: 'digest_mismatch' });
  await assert.rejects(build(t, parts, { blobBytes: 10_000 }), { code: 'digest_mismatch' });
  const directory = temporaryDirectory(t);
  const cases: [Buffer, string][] = [
    [gzipSync(Buffer.alloc(4096, 'x')).subarray(0, 30), 'archive_rejected'],
    [entry({ name: 'f' }, 'x'.repeat(2000)).subarray(0, 1000), 'archive_rejected'],
    [Buffer.alloc(1024, 'x'), 'archive_rejected'],
  ];
  for (const [blob, code] of cases) {
    const blobPath = path.join(directory, 'blob');
    writeFileSync(blobPath, blob);
    const files = { blobPath, temporary: path.join(directory, 'building'), target: path.join(directory, 'layer.sqfs') };
    await assert.rejects(
      buildLayer({ ...files, blobDigest: sha256(blob), blobBytes: blob.length, diffId: sha256(blob) }),
      { code },
    );
  }
});

test('a bomb of zeros ends at its ratio, before it fills the disk', async (t) => {
  const piece = gzipSync(Buffer.alloc(64 * 2 ** 20));
  const head = gzipSync(
    formatHeader({
      ...JSON.parse(
        '{"kind":"file","name":"bomb","linkName":"","mode":420,"uid":0,"gid":0,"mtime":0,"deviceMajor":0,"deviceMinor":0}',
      ),
      sizeBytes: 63 * 2 ** 30,
      xattrs: new Map(),
    }),
  );
  const blob = Buffer.concat([head, ...Array.from({ length: 40 }, () => piece)]);
  const directory = temporaryDirectory(t);
  const blobPath = path.join(directory, 'blob');
  writeFileSync(blobPath, blob);
  const files = { blobPath, temporary: path.join(directory, 'building'), target: path.join(directory, 'layer.sqfs') };
  const job = { ...files, blobDigest: sha256(blob), blobBytes: blob.length, diffId: sha256(blob) };
  await assert.rejects(buildLayer(job), (error: Error & { code: string }) => {
    assert.equal(error.code, 'archive_rejected');
    assert.match(error.message, /1000 times its own size|middle of an entry/);
    return true;
  });
});
