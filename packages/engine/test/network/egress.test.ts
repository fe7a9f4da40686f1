import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { Lease } from '../../src/domain/instance.ts';
import { bench, eventually, fetchInside, host, inside, SILENCE, serveHttp } from './harness.ts';

/** A second netns as the outside: it knows its own subnet and no way to any instance. */
async function outside(t: TestContext): Promise<Lease> {
  const number = randomInt(1, 250);
  const name = `bhout${process.pid}`;
  const link = `bho${process.pid}`;
  const net = `198.18.${number}`;
  t.after(() => host('ip', 'netns', 'delete', name));
  t.after(() => host('ip', 'link', 'delete', 'dev', link));
  await host('ip', 'netns', 'add', name);
  await host('ip', 'link', 'add', 'dev', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
  await host('ip', 'address', 'add', `${net}.1/24`, 'dev', link);
  await host('ip', 'link', 'set', 'dev', link, 'up');
  await host('ip', '-n', name, 'link', 'set', 'dev', 'lo', 'up');
  await host('ip', '-n', name, 'address', 'add', `${net}.2/24`, 'dev', 'eth0');
  await host('ip', '-n', name, 'link', 'set', 'dev', 'eth0', 'up');
  return {
    network: 'outside',
    netnsPath: `/run/netns/${name}`,
    interfaceName: 'eth0',
    mac: '',
    ip: `${net}.2`,
    prefixLength: 24,
    gateway: `${net}.1`,
    dnsServer: `${net}.1`,
  };
}

test('an instance reaches the outside through NAT, over TCP and ping', async (t) => {
  const { network, create } = bench(t);
  const world = await outside(t);
  await serveHttp(t, world, 80, 'the outside');
  const lease = await network.acquire(await create('blue'), 'aaaa', ['web']);
  assert.equal((await fetchInside(lease, world.ip)).output, 'the outside');
  assert.equal((await inside(lease, 'busybox', 'ping', '-c', '1', '-W', '2', world.ip)).code, 0);
});

test('the outside reaches what is published, and nothing else even when it knows the way', async (t) => {
  const { network, create } = bench(t);
  const world = await outside(t);
  const blue = await create('blue');
  const lease = await network.acquire(blue, 'aaaa', ['web']);
  await serveHttp(t, lease, 80, 'published');
  const [mapping] = await network.publish('aaaa', lease, [
    { hostIp: '0.0.0.0', hostPort: 0, port: 80, protocol: 'tcp' },
  ]);
  assert.equal((await fetchInside(world, `${world.gateway}:${mapping?.hostPort}`)).output, 'published');
  await inside(world, 'ip', 'route', 'add', blue.subnet, 'via', world.gateway);
  assert.equal((await fetchInside(world, lease.ip)).code, SILENCE);
  const question = await inside(world, 'timeout', '1.5', 'busybox', 'nslookup', 'web', blue.gateway);
  assert.equal(question.code, SILENCE);
});

test('an internal network has no way out and still works within', async (t) => {
  const { network, create } = bench(t);
  const world = await outside(t);
  await serveHttp(t, world, 80, 'the outside');
  const closed = await create('closed', true);
  const lease = await network.acquire(closed, 'aaaa', ['web']);
  const friend = await network.acquire(closed, 'bbbb', ['friend']);
  assert.equal((await fetchInside(lease, world.ip)).code, SILENCE);
  await serveHttp(t, friend, 80, 'within');
  await eventually(async () => (await fetchInside(lease, friend.ip)).output === 'within');
});

test('what an instance received and sent is counted from its own side', async (t) => {
  const { network, create } = bench(t);
  const world = await outside(t);
  await serveHttp(t, world, 80, 'x'.repeat(200_000));
  const lease = await network.acquire(await create('blue'), 'aaaa', ['web']);
  const before = await network.counters(lease);
  assert.equal((await fetchInside(lease, world.ip)).output.length, 200_000);
  const after = await network.counters(lease);
  assert.ok(after.receivedBytes - before.receivedBytes > 200_000);
  assert.ok(after.sentBytes - before.sentBytes < 100_000);
});
