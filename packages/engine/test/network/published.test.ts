import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import type { PortMapping } from '../../src/domain/task.ts';
import { bench, eventually, fetchHost, fetchInside, ownAddress, serveHttp, serveUdpEcho } from './harness.ts';

const tcp = (hostPort: number, port = 80, hostIp = '0.0.0.0'): PortMapping => ({
  hostIp,
  hostPort,
  port,
  protocol: 'tcp',
});

function echoUdp(address: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const finish = (text: string) => {
      clearTimeout(timer);
      socket.close();
      resolve(text);
    };
    const timer = setTimeout(() => finish('nothing'), 2000);
    socket.on('message', (message) => finish(message.toString()));
    socket.send('marco', port, address);
  });
}

test('a published TCP port answers on loopback, on the own address and to instances everywhere', async (t) => {
  const { network, create } = bench(t);
  const blue = await create('blue');
  const web = await network.acquire(blue, 'aaaa', ['web']);
  const friend = await network.acquire(blue, 'bbbb', ['friend']);
  const stranger = await network.acquire(await create('green'), 'cccc', ['stranger']);
  await serveHttp(t, web, 80, 'published');
  const [mapping] = await network.publish('aaaa', web, [tcp(0)]);
  assert.ok(mapping && mapping.hostPort >= 32768 && mapping.hostPort <= 60999);
  assert.equal(await fetchHost('127.0.0.1', mapping.hostPort), 'published');
  const own = ownAddress();
  if (!own) return t.diagnostic('SKIPPED in part: this host has no address but loopback');
  assert.equal(await fetchHost(own, mapping.hostPort), 'published');
  for (const [who, lease] of Object.entries({ itself: web, friend, stranger })) {
    assert.equal((await fetchInside(lease, `${own}:${mapping.hostPort}`)).output, 'published', who);
  }
});

test('a published UDP port answers on loopback and on the own address', async (t) => {
  const { network, create } = bench(t);
  const lease = await network.acquire(await create('blue'), 'aaaa', ['echo']);
  await serveUdpEcho(t, lease, 7);
  const [mapping] = await network.publish('aaaa', lease, [{ ...tcp(0, 7), protocol: 'udp' }]);
  assert.ok(mapping);
  assert.equal(await echoUdp('127.0.0.1', mapping.hostPort), 'marco');
  const own = ownAddress();
  if (own) assert.equal(await echoUdp(own, mapping.hostPort), 'marco');
});

test('a port published on one address answers there only', async (t) => {
  const { network, create } = bench(t);
  const web = await network.acquire(await create('blue'), 'aaaa', ['web']);
  await serveHttp(t, web, 80, 'loopback only');
  const [mapping] = await network.publish('aaaa', web, [tcp(0, 80, '127.0.0.1')]);
  assert.ok(mapping);
  assert.equal(await fetchHost('127.0.0.1', mapping.hostPort), 'loopback only');
  const own = ownAddress();
  if (own) assert.equal(await fetchHost(own, mapping.hostPort), 'ECONNREFUSED');
});

test('a port a program listens on is refused and the program named; nothing of the request stays', async (t) => {
  const { network, create } = bench(t);
  const web = await network.acquire(await create('blue'), 'aaaa', ['web']);
  const server = createServer((socket) => socket.end('mine'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const free = (await network.publish('aaaa', web, [tcp(0)]))[0]?.hostPort as number;
  await network.free('aaaa', web);
  const again = await network.acquire(await create('green'), 'bbbb', ['web2']);
  await assert.rejects(network.publish('bbbb', again, [tcp(free), tcp(port)]), (error: Error) => {
    assert.equal((error as Error & { code: string }).code, 'port_in_use');
    assert.match(error.message, new RegExp(`:${port}/tcp`));
    assert.match(error.message, new RegExp(`pid ${process.pid}`));
    return true;
  });
  assert.equal(await fetchHost('127.0.0.1', free), 'ECONNREFUSED');
  assert.equal((await network.publish('bbbb', again, [tcp(free)]))[0]?.hostPort, free);
});

test('a port another instance has is refused with its name, also between all addresses and one', async (t) => {
  const { network, create } = bench(t);
  const blue = await create('blue');
  const web = await network.acquire(blue, 'aaaa', ['web']);
  const other = await network.acquire(blue, 'bbbb', ['other']);
  const port = (await network.publish('aaaa', web, [tcp(0)]))[0]?.hostPort as number;
  for (const hostIp of ['0.0.0.0', '127.0.0.1']) {
    await assert.rejects(network.publish('bbbb', other, [tcp(port, 80, hostIp)]), {
      code: 'port_in_use',
      message: `host port ${hostIp}:${port}/tcp is already used by instance web`,
    });
  }
  await network.publish('bbbb', other, [{ ...tcp(port), protocol: 'udp' }]);
});

test('no program can take a published port while the engine lives', async (t) => {
  const { network, create } = bench(t);
  const web = await network.acquire(await create('blue'), 'aaaa', ['web']);
  const port = (await network.publish('aaaa', web, [tcp(0)]))[0]?.hostPort as number;
  const server = createServer();
  const error = await new Promise<NodeJS.ErrnoException>((resolve) =>
    server.on('error', resolve).listen(port, '0.0.0.0'),
  );
  assert.equal(error.code, 'EADDRINUSE');
});

test('a freed port goes to the next instance at once', async (t) => {
  const { network, create } = bench(t);
  const blue = await create('blue');
  const first = await network.acquire(blue, 'aaaa', ['first']);
  const second = await network.acquire(blue, 'bbbb', ['second']);
  await serveHttp(t, second, 80, 'second');
  const port = (await network.publish('aaaa', first, [tcp(0)]))[0]?.hostPort as number;
  await network.free('aaaa', first);
  await network.publish('bbbb', second, [tcp(port)]);
  assert.equal(await fetchHost('127.0.0.1', port), 'second');
  await network.free('bbbb', second);
  await network.idle();
  await eventually(async () => (await fetchHost('127.0.0.1', port)) === 'ECONNREFUSED');
});

test('an address that is not an IPv4 address of this host is refused', async (t) => {
  const { network, create } = bench(t);
  const web = await network.acquire(await create('blue'), 'aaaa', ['web']);
  for (const hostIp of ['203.0.113.77', '::1', 'nonsense']) {
    await assert.rejects(network.publish('aaaa', web, [tcp(0, 80, hostIp)]), { code: 'invalid_port' });
  }
});

test('a client that sends on after a release reaches the new instance, not what is left of the old', async (t) => {
  if (!existsSync('/proc/net/nf_conntrack')) return t.skip('this kernel does not show its connections: they time out');
  const { network, create } = bench(t);
  const blue = await create('blue');
  const port = { hostIp: '0.0.0.0', hostPort: 0, port: 7, protocol: 'udp' as const };
  const old = await network.acquire(blue, 'aaaa', ['old']);
  await serveUdpEcho(t, old, 7);
  const [published] = await network.publish('aaaa', old, [port]);
  const client = createSocket('udp4');
  t.after(() => client.close());
  client.bind(0, '127.0.0.1');
  const answered = async (text: string): Promise<boolean> => {
    const heard = once(client, 'message', { signal: AbortSignal.timeout(500) });
    client.send(text, published!.hostPort, '127.0.0.1');
    return heard.then(
      ([message]) => String(message) === text,
      () => false,
    );
  };
  await eventually(() => answered('one'));
  await network.free('aaaa', old);
  const next = await network.acquire(blue, 'bbbb', ['next']);
  assert.notEqual(next.ip, old.ip);
  await serveUdpEcho(t, next, 7);
  await network.publish('bbbb', next, [{ ...port, hostPort: published!.hostPort }]);
  // From the same port as before: for the kernel it is the same connection until somebody says otherwise.
  await eventually(() => answered('two'));
});
