/** Pulling from a real registry on loopback. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import type { Progress } from '../../src/ports/images.ts';
import { makeImage, makeStore, startRegistry, tarOf, upload } from './registry.ts';

test('a pulled image has its configuration, names, layers and progress per layer', async (t) => {
  const address = await startRegistry(t);
  const image = makeImage([tarOf(t, { 'bin/a': 'one' }), tarOf(t, { 'bin/b': 'two' })], {
    config: {
      Cmd: ['/bin/a'],
      Env: ['A=1'],
      User: 'me',
      Labels: { x: 'y' },
      StopSignal: 'SIGINT',
      Volumes: { '/v': {} },
    },
  });
  await upload(address, 'team/app', '1', image);
  const { store, data } = makeStore(t);
  const progress: Progress[] = [];
  const record = await store.pull(`${address}/team/app:1`, { onProgress: (line) => progress.push(line) });
  assert.equal(record.id, image.configDigest);
  assert.equal(record.manifestDigest, image.manifestDigest);
  assert.deepEqual(record.tags, [`${address}/team/app:1`]);
  assert.deepEqual(record.repoDigests, [`${address}/team/app@${image.manifestDigest}`]);
  assert.deepEqual(record.layers, image.diffIds);
  assert.deepEqual(record.config.cmd, ['/bin/a']);
  assert.deepEqual(record.config.volumes, ['/v']);
  assert.equal(record.config.stopSignal, 'SIGINT');
  assert.equal(record.createdAt, Date.parse('2024-01-02T03:04:05Z'));
  assert.ok(record.sizeBytes > 0);
  assert.equal(progress[0]?.phase, 'resolving');
  assert.equal(progress.at(-1)?.phase, 'done');
  for (const digest of image.blobs.keys()) {
    if (digest !== image.configDigest)
      assert.ok(progress.some((line) => line.layer === digest && line.phase === 'done'));
  }
  const files = readdirSync(path.join(data, 'layers')).sort();
  assert.deepEqual(files, image.diffIds.map((id) => `${id.slice(7)}.sqfs`).sort());
  assert.deepEqual(readdirSync(path.join(data, 'tmp', 'images')), []);
});
