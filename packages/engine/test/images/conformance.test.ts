import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SqliteState } from '@bulkhead/engine';
import { FakeImages } from '@bulkhead/testkit';
import { imageConformance } from '@bulkhead/testkit/image-conformance';
import { makeImage, makeStore, startRegistry, tarOf, upload } from './registry.ts';

imageConformance('the fake store', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-fake-images-'));
  const state = new SqliteState(join(folder, 'state.db'));
  t.after(() => {
    state.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const images = new FakeImages(state);
  for (const name of ['example.com/one:1', 'example.com/two:2']) images.remote.set(name, {});
  return { images, names: { first: 'example.com/one:1', second: 'example.com/two:2', missing: 'example.com/three:3' } };
});

imageConformance('the store of real images', async (t) => {
  const address = await startRegistry(t);
  await upload(address, 'one', '1', makeImage([tarOf(t, { a: '1' })]));
  await upload(address, 'two', '2', makeImage([tarOf(t, { a: '1' }), tarOf(t, { b: '2' })]));
  const names = { first: `${address}/one:1`, second: `${address}/two:2`, missing: `${address}/three:3` };
  return { images: makeStore(t).store, names };
});
