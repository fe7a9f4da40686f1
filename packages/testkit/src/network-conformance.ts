/** What every NetworkProvider promises, whatever it is made of. Packets are the business of an adapter's own tests. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { PortMapping } from '@bulkhead/engine/domain/task';
import type { NetworkProvider } from '@bulkhead/engine/ports/network';

/** `make` gives a fresh provider and takes it away with `t.after`. */
export function networkConformance(name: string, make: (t: TestContext) => NetworkProvider): void {
  const behaviour = (title: string, body: (network: NetworkProvider, t: TestContext) => Promise<void>) =>
    test(`${name}: ${title}`, (t) => body(make(t), t));
  const create = (network: NetworkProvider, title: string, subnet?: string) =>
    network.create({ name: title, internal: false, labels: {}, ...(subnet ? { subnet } : {}) });
  const tcp = (hostPort: number, hostIp = '0.0.0.0'): PortMapping => ({ hostIp, hostPort, port: 80, protocol: 'tcp' });

  behaviour('networks have subnets, gateways and bridges of their own', async (network) => {
    const made = [await create(network, 'blue'), await create(network, 'green')];
    for (const key of ['id', 'subnet', 'gateway', 'bridge'] as const) {
      assert.equal(new Set(made.map((record) => record[key])).size, 2, key);
    }
    for (const { bridge, gateway, subnet } of made) {
      assert.ok(bridge.length <= 15);
      assert.ok(subnet.startsWith(gateway.split('.').slice(0, 2).join('.')));
    }
  });

  behaviour('a wrong or taken name or subnet is refused', async (network) => {
    const blue = await create(network, 'blue');
    await assert.rejects(create(network, 'blue'), { code: 'name_in_use' });
    await assert.rejects(create(network, '../blue'), { code: 'invalid_name' });
    await assert.rejects(create(network, 'green', blue.subnet), { code: 'subnet_in_use' });
    await assert.rejects(create(network, 'green', 'nonsense'), { code: 'invalid_request' });
  });

  behaviour(
    'every instance has an address and a netns of its own; the same instance gets the same again',
    async (network) => {
      const blue = await create(network, 'blue');
      const leases = await Promise.all(['a', 'b', 'c'].map((id) => network.acquire(blue, id, [id])));
      for (const key of ['ip', 'mac', 'netnsPath'] as const) {
        assert.equal(new Set(leases.map((lease) => lease[key])).size, 3, key);
      }
      for (const lease of leases) {
        assert.equal(lease.gateway, blue.gateway);
        assert.equal(lease.prefixLength, Number(blue.subnet.split('/')[1]));
      }
      assert.deepEqual(await network.acquire(blue, 'a', ['a']), leases[0]);
      await assert.rejects(network.acquire(blue, 'd', ['two words']), { code: 'invalid_name' });
    },
  );

  behaviour('a netns is never used twice, and giving back is idempotent', async (network) => {
    const blue = await create(network, 'blue');
    const first = await network.acquire(blue, 'a', ['a']);
    await network.free('a', first);
    await network.free('a', first);
    const second = await network.acquire(blue, 'b', ['b']);
    assert.notEqual(second.netnsPath, first.netnsPath);
    await network.free('a', first);
    assert.deepEqual(await network.acquire(blue, 'b', ['b']), second, "a late free of another's is no harm");
  });

  behaviour(
    'a port is chosen where none is given, refused where it is taken, and free again after',
    async (network) => {
      const blue = await create(network, 'blue');
      const web = await network.acquire(blue, 'a', ['web']);
      const other = await network.acquire(blue, 'b', ['other']);
      const [one, two] = await network.publish('a', web, [tcp(0), tcp(0)]);
      assert.ok(one && two && one.hostPort > 0 && two.hostPort > 0 && one.hostPort !== two.hostPort);
      for (const hostIp of ['0.0.0.0', '127.0.0.1']) {
        const taken = network.publish('b', other, [tcp(one.hostPort, hostIp)]);
        await assert.rejects(taken, { code: 'port_in_use', message: new RegExp(`${one.hostPort}/tcp .*web`) });
      }
      await network.free('a', web);
      assert.equal((await network.publish('b', other, [tcp(one.hostPort)]))[0]?.hostPort, one.hostPort);
    },
  );

  behaviour('of a request that fails no port stays', async (network) => {
    const blue = await create(network, 'blue');
    const web = await network.acquire(blue, 'a', ['web']);
    const other = await network.acquire(blue, 'b', ['other']);
    const [taken, free] = (await network.publish('a', web, [tcp(0), tcp(0)])).map(({ hostPort }) => hostPort);
    assert.ok(taken && free);
    await network.free('a', web);
    const again = await network.acquire(blue, 'c', ['again']);
    await network.publish('c', again, [tcp(taken)]);
    await assert.rejects(network.publish('b', other, [tcp(free), tcp(taken)]), { code: 'port_in_use' });
    assert.equal((await network.publish('b', other, [tcp(free)])).length, 1);
  });

  behaviour('a rename is for its own instance and a wrong name is refused', async (network) => {
    const blue = await create(network, 'blue');
    const lease = await network.acquire(blue, 'a', ['a']);
    await network.rename('a', lease, ['new', 'alias']);
    await network.rename('stranger', lease, ['other']);
    await assert.rejects(network.rename('a', lease, ['line\nbreak']), { code: 'invalid_name' });
  });

  behaviour('reconciling keeps what is known, ports and all', async (network) => {
    const blue = await create(network, 'blue');
    const lease = await network.acquire(blue, 'a', ['web']);
    const ports = await network.publish('a', lease, [tcp(0)]);
    for (const _pass of [1, 2]) await network.reconcile([blue], [{ id: 'a', lease, ports, names: ['web'] }]);
    const other = await network.acquire(blue, 'b', ['other']);
    assert.notEqual(other.ip, lease.ip);
    assert.notEqual(other.netnsPath, lease.netnsPath);
    await assert.rejects(network.publish('b', other, ports), { code: 'port_in_use' });
  });

  behaviour('a network with an instance stays, one without goes, its subnet is free again', async (network) => {
    const blue = await create(network, 'blue');
    const lease = await network.acquire(blue, 'a', ['a']);
    await assert.rejects(network.remove(blue), { code: 'in_use' });
    await network.free('a', lease);
    await network.remove(blue);
    assert.equal((await create(network, 'blue', blue.subnet)).subnet, blue.subnet);
  });

  behaviour('counters are numbers, also of what is gone', async (network) => {
    const blue = await create(network, 'blue');
    const lease = await network.acquire(blue, 'a', ['a']);
    await network.free('a', lease);
    const { receivedBytes, sentBytes } = await network.counters(lease);
    assert.ok(receivedBytes >= 0 && sentBytes >= 0);
  });
}
