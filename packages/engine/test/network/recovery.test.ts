import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Lease } from '../../src/domain/instance.ts';
import type { PortMapping } from '../../src/domain/task.ts';
import { LinuxNetwork } from '../../src/network/linux-network.ts';
import type { NetworkRecord } from '../../src/ports/network.ts';
import {
  type Bench,
  bench,
  eventually,
  fetchHost,
  fetchInside,
  host,
  inside,
  lookup,
  remains,
  serveHttp,
} from './harness.ts';

interface Made {
  blue: NetworkRecord;
  green: NetworkRecord;
  web: Lease;
  lost: Lease;
  ports: PortMapping[];
}

/** Another process makes two networks and two instances, then is killed as a crash would. */
async function crashedEngine(t: TestContext, { paths, directory }: Bench): Promise<Made> {
  const script = join(directory, 'engine.ts');
  const source = new URL('../../src/network/linux-network.ts', import.meta.url).pathname;
  const text = `
    import { LinuxNetwork } from ${JSON.stringify(source)};
    const network = new LinuxNetwork({ paths: ${JSON.stringify(paths)}, poolSize: 2 });
    const blue = await network.create({ name: 'blue', internal: false, labels: {} });
    const green = await network.create({ name: 'green', internal: false, labels: {} });
    const web = await network.acquire(blue, 'aaaa', ['web']);
    const lost = await network.acquire(green, 'bbbb', ['lost']);
    const port = { hostIp: '0.0.0.0', hostPort: 0, port: 80, protocol: 'tcp' };
    const ports = await network.publish('aaaa', web, [port]);
    await network.publish('bbbb', lost, [port]);
    console.log(JSON.stringify({ blue, green, web, lost, ports }));
    setInterval(() => {}, 1000);`;
  writeFileSync(script, text);
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const made = await new Promise<Made>((resolve, reject) => {
    let output = '';
    child.on('exit', () => reject(new Error('the engine to be killed ended by itself')));
    child.stdout.on('data', (chunk) => {
      output += chunk;
      if (output.includes('\n')) resolve(JSON.parse(output) as Made);
    });
  });
  const gone = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGKILL');
  await gone;
  return made;
}

const known = ({ web, ports }: Made) => [{ id: 'aaaa', lease: web, ports, names: ['web'] }];

test('after a crash all goes on, the next engine adopts what is known and removes the rest', async (t) => {
  const here = bench(t);
  const { paths, network } = here;
  const made = await crashedEngine(t, here);
  const port = made.ports[0]?.hostPort as number;
  await serveHttp(t, made.web, 80, 'still here');
  assert.equal(await fetchHost('127.0.0.1', port), 'still here', 'works while no engine runs');
  assert.deepEqual(await lookup(made.web, 'web'), [made.web.ip]);
  const pid = (await host('cat', `${paths.run}/net/${made.blue.id}/dnsmasq.pid`)).output;

  await network.reconcile([made.blue], known(made));
  assert.equal(await fetchHost('127.0.0.1', port), 'still here');
  assert.equal((await host('cat', `${paths.run}/net/${made.blue.id}/dnsmasq.pid`)).output, pid, 'dnsmasq was adopted');
  assert.deepEqual(await lookup(made.web, 'web'), [made.web.ip]);
  assert.ok(!existsSync(made.lost.netnsPath));
  const left = await remains(paths);
  assert.ok(!left.includes(made.green.bridge));
  assert.equal(left.filter((name) => name.startsWith('dnsmasq') || name.includes('--conf-file')).length, 1);
  await assert.rejects(
    network.publish('cccc', made.web, [{ hostIp: '0.0.0.0', hostPort: port, port: 80, protocol: 'tcp' }]),
    { code: 'port_in_use', message: /instance web/ },
  );

  const next = await network.acquire(made.blue, 'cccc', ['next']);
  assert.notEqual(next.ip, made.web.ip);
  assert.notEqual(next.netnsPath, made.web.netnsPath);
  assert.equal((await fetchInside(next, made.web.ip)).output, 'still here');
});

test('what someone took away is made again: netns, bridge, firewall and name server', async (t) => {
  const here = bench(t);
  const made = await crashedEngine(t, here);
  const pid = Number((await host('cat', `${here.paths.run}/net/${made.blue.id}/dnsmasq.pid`)).output);
  process.kill(pid, 'SIGKILL');
  const number = made.web.netnsPath.split('-').at(-1) as string;
  await host('ip', 'link', 'delete', 'dev', `b${here.paths.tag}v${Number(number).toString(36)}`);
  await host('ip', 'netns', 'delete', made.web.netnsPath.split('/').at(-1) as string);
  await host('ip', 'link', 'delete', 'dev', made.blue.bridge);
  await host('nft', 'delete', 'table', 'inet', `bulkhead_${here.paths.tag}`);
  rmSync(`${here.paths.run}/net`, { recursive: true });

  await here.network.reconcile([made.blue, made.green], known(made));
  await serveHttp(t, made.web, 80, 'made again');
  assert.equal(await fetchHost('127.0.0.1', made.ports[0]?.hostPort as number), 'made again');
  await eventually(async () => (await lookup(made.web, 'web')).length === 1);
});

test('a second pass over a right host changes nothing, not even the ready netns', async (t) => {
  const { network, create, paths } = bench(t);
  const blue = await create('blue');
  const lease = await network.acquire(blue, 'aaaa', ['web']);
  await eventually(async () => (await remains(paths)).filter((name) => name.startsWith('bh')).length === 3);
  const before = await remains(paths);
  await network.reconcile([blue], [{ id: 'aaaa', lease, ports: [], names: ['web'] }]);
  assert.deepEqual(await remains(paths), before);
  const next = await network.acquire(blue, 'bbbb', ['next']);
  assert.equal((await inside(next, 'busybox', 'ping', '-c', '1', '-W', '2', lease.ip)).code, 0);
});

test('a pair taken off its bridge is put back', async (t) => {
  const { network, create, paths } = bench(t);
  const blue = await create('blue');
  const lease = await network.acquire(blue, 'aaaa', ['web']);
  const friend = await network.acquire(blue, 'bbbb', ['friend']);
  await host('ip', 'link', 'set', 'dev', `b${paths.tag}v1`, 'nomaster');
  const leases = [
    { id: 'aaaa', lease, ports: [], names: ['web'] },
    { id: 'bbbb', lease: friend, ports: [], names: ['friend'] },
  ];
  await network.reconcile([blue], leases);
  assert.equal((await inside(lease, 'busybox', 'ping', '-c', '1', '-W', '2', friend.ip)).code, 0);
});

test('a port another program took meanwhile is reported and the instance keeps its mapping', async (t) => {
  const here = bench(t);
  const made = await crashedEngine(t, here);
  const { createServer } = await import('node:net');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(made.ports[0]?.hostPort, '0.0.0.0', resolve));
  t.after(() => server.close());
  const warnings: string[] = [];
  const next = new LinuxNetwork({ paths: here.paths, warn: (message) => warnings.push(message) });
  await next.reconcile([made.blue], known(made));
  await next.close();
  assert.match(warnings.join(), /was taken by another program/);
});

test('a firewall someone flushed is whole again with the next change', async (t) => {
  const { network, create, paths } = bench(t);
  const blue = await create('blue');
  const web = await network.acquire(blue, 'aaaa', ['web']);
  const other = await network.acquire(blue, 'bbbb', ['other']);
  await serveHttp(t, web, 80, 'first');
  await serveHttp(t, other, 80, 'second');
  const tcp = { hostIp: '0.0.0.0', hostPort: 0, port: 80, protocol: 'tcp' } as const;
  const [first] = await network.publish('aaaa', web, [tcp]);
  for (const family of ['inet', 'bridge']) await host('nft', 'delete', 'table', family, `bulkhead_${paths.tag}`);
  const [second] = await network.publish('bbbb', other, [tcp]);
  assert.equal(await fetchHost('127.0.0.1', first?.hostPort as number), 'first');
  assert.equal(await fetchHost('127.0.0.1', second?.hostPort as number), 'second');
});

test('what is given back is gone a moment later, and giving it back twice is no harm', async (t) => {
  const { network, create, paths } = bench(t);
  const blue = await create('blue');
  const lease = await network.acquire(blue, 'aaaa', ['web']);
  const started = performance.now();
  await network.free('aaaa', lease);
  assert.ok(performance.now() - started < 10, 'does not wait for the kernel');
  await network.free('aaaa', lease);
  await network.idle();
  assert.ok(!existsSync(lease.netnsPath));
  assert.ok(!existsSync(`${paths.run}/net/${blue.id}/hosts/aaaa`));
});

test('destroyAll and remove leave nothing', async (t) => {
  const { network, create, paths } = bench(t);
  const blue = await create('blue');
  const green = await create('green', true);
  const lease = await network.acquire(blue, 'aaaa', ['web']);
  await assert.rejects(network.remove(blue), { code: 'in_use', message: /web/ });
  await network.remove(green);
  assert.ok(!(await remains(paths)).some((name) => name.includes(green.bridge) || name.includes(green.id)));
  await network.publish('aaaa', lease, [{ hostIp: '0.0.0.0', hostPort: 0, port: 80, protocol: 'tcp' }]);
  await network.destroyAll();
  assert.deepEqual(await remains(paths), []);
});
