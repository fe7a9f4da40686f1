import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { bench, fetchHost, fetchInside, host, inside, ownAddress, SILENCE, serveHttp } from './harness.ts';

async function hostService(t: TestContext): Promise<number> {
  const server = createServer((_request, response) => response.end('host service'));
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

test('networks are closed to each other and open within', async (t) => {
  const { network, create } = bench(t);
  const blue = await create('blue');
  const web = await network.acquire(blue, 'aaaa', ['web']);
  const friend = await network.acquire(blue, 'bbbb', ['friend']);
  const stranger = await network.acquire(await create('green'), 'cccc', ['stranger']);
  await serveHttp(t, web, 80, 'blue only');
  assert.equal((await fetchInside(friend, web.ip)).output, 'blue only');
  assert.equal((await fetchInside(stranger, web.ip)).code, SILENCE);
  assert.notEqual((await inside(stranger, 'busybox', 'ping', '-c', '1', '-W', '1', web.ip)).code, 0);
});

test("a service of the host is out of an instance's reach on every address", async (t) => {
  const { network, create } = bench(t);
  const lease = await network.acquire(await create('blue'), 'aaaa', ['web']);
  const port = await hostService(t);
  assert.equal(await fetchHost('127.0.0.1', port), 'host service');
  assert.equal((await fetchInside(lease, `${lease.gateway}:${port}`)).code, SILENCE);
  const own = ownAddress();
  if (own) assert.equal((await fetchInside(lease, `${own}:${port}`)).code, SILENCE);
  // Loopback addresses are routed on the bridge for published ports: an instance that sends to them must get nothing.
  const loopback = [
    'ip address flush dev lo',
    'ip route flush table local 127.0.0.0/8',
    'echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet',
    `ip route add 127.0.0.1/32 via ${lease.gateway} src ${lease.ip}`,
    `timeout 1.5 busybox wget -q -O - http://127.0.0.1:${port}/`,
  ];
  assert.deepEqual(await inside(lease, 'sh', '-c', loopback.join(' && ')), { code: SILENCE, output: '' });
});

test('the host reaches its instances', async (t) => {
  const { network, create } = bench(t);
  const lease = await network.acquire(await create('blue'), 'aaaa', ['web']);
  await serveHttp(t, lease, 80, 'for the host');
  assert.equal(await fetchHost(lease.ip, 80), 'for the host');
});

test('metadata and link-local addresses are dropped and counted', async (t) => {
  const { network, create, paths } = bench(t);
  const lease = await network.acquire(await create('blue'), 'aaaa', ['web']);
  assert.equal((await fetchInside(lease, '169.254.169.254')).code, SILENCE);
  const { output } = await host('nft', 'list', 'chain', 'inet', `bulkhead_${paths.tag}`, 'from_instance');
  assert.match(output, /@metadata counter packets [1-9]/);
});

test("an instance cannot send from another's address", async (t) => {
  const { network, create, paths } = bench(t);
  const blue = await create('blue');
  const liar = await network.acquire(blue, 'aaaa', ['liar']);
  const victim = await network.acquire(blue, 'bbbb', ['victim']);
  const other = await network.acquire(blue, 'cccc', ['other']);
  await serveHttp(t, other, 80, 'reached');
  assert.equal((await fetchInside(liar, other.ip)).output, 'reached');
  await inside(liar, 'ip', 'address', 'add', `${victim.ip}/22`, 'dev', 'eth0');
  const spoofed = await inside(liar, 'busybox', 'ping', '-c', '1', '-W', '1', '-I', victim.ip, other.ip);
  assert.notEqual(spoofed.code, 0);
  await inside(liar, 'ip', 'address', 'del', `${victim.ip}/22`, 'dev', 'eth0');
  await inside(liar, 'ip', 'link', 'set', 'dev', 'eth0', 'address', victim.mac);
  assert.equal((await fetchInside(liar, other.ip)).code, SILENCE);
  const { output } = await host('nft', 'list', 'chain', 'bridge', `bulkhead_${paths.tag}`, 'from_member');
  assert.match(output, /counter packets [1-9]/);
  assert.equal((await fetchInside(victim, other.ip)).output, 'reached');
});

test('inside there is no IPv6, any port may be bound and ping needs no privilege', async (t) => {
  const { network, create } = bench(t);
  const lease = await network.acquire(await create('blue'), 'aaaa', ['web']);
  assert.equal((await inside(lease, 'ip', '-6', 'address')).output, '');
  const read = (name: string) => inside(lease, 'cat', `/proc/sys/net/ipv4/${name}`);
  assert.equal((await read('ip_unprivileged_port_start')).output, '0\n');
  assert.equal((await read('ping_group_range')).output, '0\t2147483647\n');
});

test('there is no IPv6 between instances, to the host or out, even where somebody switches it on', async (t) => {
  if (!existsSync('/proc/sys/net/ipv6/conf')) return t.skip('this kernel has no IPv6: there is nothing to be closed');
  const { network, create } = bench(t);
  const blue = await create('blue');
  const one = await network.acquire(blue, 'aaaa', ['one']);
  const two = await network.acquire(blue, 'bbbb', ['two']);
  assert.equal((await host('cat', `/proc/sys/net/ipv6/conf/${blue.bridge}/disable_ipv6`)).output, '1\n');
  const on =
    'for d in all lo; do echo 0 >/proc/sys/net/ipv6/conf/$d/disable_ipv6; done; echo 0 >/proc/sys/net/ipv6/conf/$1/disable_ipv6 && ip address add $2/64 dev $1 nodad';
  await host('sh', '-c', on.replace(/^.*done; /, ''), 'sh', blue.bridge, 'fd00:b0a7::1');
  assert.equal((await inside(one, 'sh', '-c', on, 'sh', 'eth0', 'fd00:b0a7::a')).code, 0);
  assert.equal((await inside(two, 'sh', '-c', on, 'sh', 'eth0', 'fd00:b0a7::b')).code, 0);
  assert.equal((await inside(one, 'busybox', 'ping6', '-c', '1', '-W', '1', 'fd00:b0a7::a')).code, 0, 'ping works');
  for (const target of ['fd00:b0a7::1', 'fd00:b0a7::b'])
    assert.notEqual((await inside(one, 'busybox', 'ping6', '-c', '1', '-W', '1', target)).code, 0, target);
  assert.notEqual((await host('busybox', 'ping6', '-c', '1', '-W', '1', 'fd00:b0a7::a')).code, 0);
});
