import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { bench, eventually, fetchInside, host, inside, lookup, SILENCE, serveHttp } from './harness.ts';

test('instances of one network reach each other by name, alias and case', async (t) => {
  const { network, create } = bench(t);
  const blue = await create('blue');
  const web = await network.acquire(blue, 'aaaa', ['web', 'aaaaaaaaaaaa', 'shop.example']);
  const client = await network.acquire(blue, 'bbbb', ['client']);
  await serveHttp(t, web, 80, 'hello from web');
  await eventually(async () => (await lookup(client, 'web')).length === 1);
  assert.deepEqual(await lookup(client, 'web'), [web.ip]);
  assert.deepEqual(await lookup(client, 'WEB'), [web.ip]);
  assert.deepEqual(await lookup(client, 'shop.example'), [web.ip]);
  const resolver = `printf 'nameserver ${client.dnsServer}\\n' > /tmp/bulkhead-r.$$; mount --bind /tmp/bulkhead-r.$$ /etc/resolv.conf; rm /tmp/bulkhead-r.$$; exec timeout 2 busybox wget -q -O - http://web/`;
  assert.equal((await inside(client, 'unshare', '-m', 'sh', '-c', resolver)).output, 'hello from web');
  assert.equal((await fetchInside(client, web.ip)).output, 'hello from web');
});

test('an alias shared by two instances answers with both, and with one when the other is gone', async (t) => {
  const { network, create } = bench(t);
  const blue = await create('blue');
  const first = await network.acquire(blue, 'aaaa', ['web-1', 'web']);
  const second = await network.acquire(blue, 'bbbb', ['web-2', 'web']);
  await eventually(async () => (await lookup(second, 'web')).length === 2);
  assert.deepEqual(await lookup(second, 'web'), [first.ip, second.ip].sort());
  await network.free('aaaa', first);
  await eventually(async () => (await lookup(second, 'web')).length === 1);
  assert.deepEqual(await lookup(second, 'web'), [second.ip]);
  assert.deepEqual(await lookup(second, 'web-1'), []);
});

test('a rename takes the old name away and is never without an answer', async (t) => {
  const { network, create } = bench(t);
  const blue = await create('blue');
  const lease = await network.acquire(blue, 'aaaa', ['old', 'stays']);
  await eventually(async () => (await lookup(lease, 'old')).length === 1);
  let gaps = 0;
  let done = false;
  const watcher = (async () => {
    while (!done) if ((await lookup(lease, 'stays')).length === 0) gaps += 1;
  })();
  for (const name of ['a', 'b', 'c', 'new']) await network.rename('aaaa', lease, [name, 'stays']);
  await eventually(async () => (await lookup(lease, 'new')).length === 1);
  done = true;
  await watcher;
  assert.equal(gaps, 0);
  assert.deepEqual(await lookup(lease, 'old'), []);
});

test('names of one network are unknown on another', async (t) => {
  const { network, create } = bench(t);
  const web = await network.acquire(await create('blue'), 'aaaa', ['web']);
  const stranger = await network.acquire(await create('green'), 'bbbb', ['stranger']);
  await eventually(async () => (await lookup(web, 'web')).length === 1);
  assert.deepEqual(await lookup(stranger, 'web'), []);
  const foreign = await inside(stranger, 'timeout', '1.5', 'busybox', 'nslookup', 'web', web.dnsServer);
  assert.equal(foreign.code, SILENCE, 'the name server of another network must not answer');
});

test('an internal network forwards no question to the outside', async (t) => {
  const { network, create } = bench(t);
  const lease = await network.acquire(await create('closed', true), 'aaaa', ['web']);
  const { output } = await inside(lease, 'busybox', 'nslookup', '-type=a', 'example.com', lease.dnsServer);
  assert.match(output, /REFUSED|can't find/);
});

test('a name that would break the hosts file is refused', async (t) => {
  const { network, create } = bench(t);
  const blue = await create('blue');
  for (const name of ['two words', 'line\nbreak', '../up', '', 'a'.repeat(300)]) {
    await assert.rejects(network.acquire(blue, 'aaaa', [name]), { code: 'invalid_name' });
  }
});

test('a name DNS does not allow is no harm to the others of its instance', async (t) => {
  const { network, create } = bench(t);
  const lease = await network.acquire(await create('blue'), 'aaaa', ['a'.repeat(100), 'web-', 'odd..name', 'web']);
  await eventually(async () => (await lookup(lease, 'web')).length === 1);
});

test('the name server runs without privilege and knows nothing of the host', async (t) => {
  const { network, create, directory } = bench(t);
  await host('chmod', '711', directory);
  const lease = await network.acquire(await create('blue'), 'aaaa', ['web']);
  const { output } = await host('ps', '-eo', 'user:20,args');
  assert.match(output, new RegExp(`^(dnsmasq|nobody) .*${directory}`, 'm'));
  await eventually(async () => (await lookup(lease, 'web')).length === 1);
  assert.deepEqual(await lookup(lease, 'localhost.localdomain'), []);
});

test('a name of the outside is asked of the host’s own resolver, and what that says is the answer', async (t) => {
  // A real resolver in a network namespace of its own plays the one the host has.
  const name = `bhdns${process.pid}`;
  const net = `198.18.${randomInt(1, 250)}`;
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-dns-'));
  t.after(async () => {
    await host('ip', 'link', 'delete', 'dev', name);
    await host('ip', 'netns', 'delete', name);
    rmSync(folder, { recursive: true, force: true });
  });
  for (const line of [
    `netns add ${name}`,
    `link add dev ${name} type veth peer name eth0 netns ${name}`,
    `address add ${net}.1/24 dev ${name}`,
    `link set dev ${name} up`,
    `-n ${name} address add ${net}.2/24 dev eth0`,
    `-n ${name} link set dev eth0 up`,
    `-n ${name} link set dev lo up`,
  ])
    assert.deepEqual(await host('ip', ...line.split(' ')), { code: 0, output: '' }, line);
  const served = ['--no-daemon', '--no-resolv', '--no-hosts', '--conf-file=/dev/null', `--listen-address=${net}.2`];
  const answers = ['--address=/outside.example/203.0.113.7', '--bind-interfaces', '--user=root'];
  const upstream = spawn('ip', ['netns', 'exec', name, 'dnsmasq', ...served, ...answers], { stdio: 'ignore' });
  t.after(() => upstream.kill('SIGKILL'));
  chmodSync(folder, 0o711);
  writeFileSync(join(folder, 'resolv.conf'), `nameserver ${net}.2\n`);

  const { network, create } = bench(t, 2, join(folder, 'resolv.conf'));
  const lease = await network.acquire(await create('blue'), 'aaaa', ['web']);
  await eventually(async () => (await lookup(lease, 'outside.example')).includes('203.0.113.7'));
  assert.deepEqual(await lookup(lease, 'web'), [lease.ip], 'names of the network need no resolver');
  const closed = await network.acquire(await create('closed', true), 'bbbb', ['shut']);
  assert.deepEqual(await lookup(closed, 'outside.example'), [], 'an internal network asks nobody');
});
