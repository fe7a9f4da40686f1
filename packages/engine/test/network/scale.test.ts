import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bench, inside, lookup, remains } from './harness.ts';

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;

test('three hundred instances on one network, asked for at once', async (t) => {
  const { network, create, paths } = bench(t, 4);
  const blue = await create('blue');
  const ids = Array.from({ length: 300 }, (_, index) => `instance${index}`);
  const leases = await Promise.all(ids.map((id) => network.acquire(blue, id, [id, 'all'])));
  assert.equal(new Set(leases.map(({ ip }) => ip)).size, 300);
  assert.equal(new Set(leases.map(({ netnsPath }) => netnsPath)).size, 300);
  const [first, last] = [leases[0], leases[299]];
  assert.ok(first && last);
  assert.equal((await inside(first, 'busybox', 'ping', '-c', '1', '-W', '2', last.ip)).code, 0);
  assert.deepEqual(await lookup(first, 'instance299'), [last.ip]);
  await Promise.all(ids.map((id, index) => network.free(id, leases[index] as (typeof leases)[0])));
  await network.destroyAll();
  assert.deepEqual(await remains(paths), []);
});

test('an acquire served by the pool takes well under a millisecond', async (t) => {
  const { network, create } = bench(t, 16);
  const blue = await create('blue');
  await network.acquire(blue, 'first', ['first']);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const times: number[] = [];
  for (let index = 0; index < 9; index += 1) {
    const started = performance.now();
    await network.acquire(blue, `i${index}`, [`i${index}`]);
    times.push(performance.now() - started);
  }
  t.diagnostic(`median ${median(times).toFixed(3)} ms`);
  assert.ok(median(times) < 1, `median ${median(times)} ms`);
});
