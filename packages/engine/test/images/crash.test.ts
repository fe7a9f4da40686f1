/** Two at once, an abort and a kill in the middle: one layer each, nothing half done, and what was downloaded stays. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { buildLayer } from '../../src/images/layer-builder.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { makeImage, makeStore, startRegistry, tarOf, upload } from './registry.ts';

test('two pulls of images that share a layer build it once', async (t) => {
  const address = await startRegistry(t);
  const base = tarOf(t, { base: randomBytes(2 ** 20).toString('hex') });
  await upload(address, 'one', '1', makeImage([base, tarOf(t, { one: '1' })]));
  await upload(address, 'two', '1', makeImage([base, tarOf(t, { two: '2' })]));
  const built: string[] = [];
  const { store } = makeStore(t, {
    buildLayer: async (job) => {
      built.push(job.diffId);
      await buildLayer(job);
    },
  });
  await Promise.all(['one', 'two', 'one', 'two'].map((name) => store.pull(`${address}/${name}:1`, {})));
  assert.equal(store.list().length, 2);
  assert.equal(built.length, 3);
  assert.equal(new Set(built).size, 3);
});

test('an aborted pull ends at once and leaves nothing behind', async (t) => {
  const address = await startRegistry(t);
  await upload(address, 'app', '1', makeImage([tarOf(t, { big: randomBytes(16 * 2 ** 20).toString('hex') })]));
  const { store, data } = makeStore(t);
  const abort = new AbortController();
  const pull = store.pull(`${address}/app:1`, {
    signal: abort.signal,
    onProgress: (line) => line.phase === 'downloading' && abort.abort(),
  });
  await assert.rejects(pull, { name: 'AbortError' });
  assert.deepEqual(store.list(), []);
  assert.deepEqual(readdirSync(path.join(data, 'tmp', 'images')), []);
});

test('a kill in the middle leaves only temporary files, recovery removes them and the next pull resumes', async (t) => {
  const address = await startRegistry(t);
  const image = makeImage([
    tarOf(t, { small: 's' }),
    ...[1, 2].map((n) => tarOf(t, { [`big${n}`]: randomBytes(24 * 2 ** 20).toString('hex') })),
  ]);
  await upload(address, 'app', '1', image);
  const data = path.join(temporaryDirectory(t), 'data');
  mkdirSync(data);
  const program = `
    const { SkopeoImageStore } = await import(${JSON.stringify(path.resolve(import.meta.dirname, '../../src/images/store.ts'))});
    const { MemoryState } = await import(${JSON.stringify(path.resolve(import.meta.dirname, 'registry.ts'))});
    const store = new SkopeoImageStore({ paths: { data: ${JSON.stringify(data)}, run: '/nowhere', tag: 'abcdef' }, state: new MemoryState() });
    await store.pull(${JSON.stringify(`${address}/app:1`)}, { onProgress: (line) => console.log(line.phase) });
    console.log('finished');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  await new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk;
      if (output.includes('unpacking')) child.kill('SIGKILL');
    });
    child.on('close', () => resolve());
  });
  assert.ok(!output.includes('finished'));
  await new Promise((resolve) => setTimeout(resolve, 300));
  const { store } = makeStore(t, { paths: { data, run: '/nowhere', tag: 'abcdef' } });
  await store.recover();
  assert.deepEqual(readdirSync(path.join(data, 'tmp', 'images')), []);
  const whole = image.diffIds.map((id) => `${id.slice(7)}.sqfs`);
  assert.deepEqual(
    readdirSync(path.join(data, 'layers')).filter((name) => !whole.includes(name)),
    [],
  );
  const record = await store.pull(`${address}/app:1`, {});
  assert.equal(record.id, image.configDigest);
  for (const name of whole) assert.ok(existsSync(path.join(data, 'layers', name)));
});
