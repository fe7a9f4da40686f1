/** The store over its whole surface: push, save, load, tag, remove, prune, build; with real registries and tools. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { Readable } from 'node:stream';
import test, { type TestContext } from 'node:test';
import { temporaryDirectory } from '../temporary-directory.ts';
import { makeImage, makeStore, startRegistry, tarOf, upload } from './registry.ts';

const never = (): boolean => false;
const always = (): boolean => true;

test('an image goes through push, save and load and stays the same', async (t) => {
  const address = await startRegistry(t);
  const image = makeImage([tarOf(t, { a: '1' }), tarOf(t, { b: '2' })], { config: { Cmd: ['/a'] } });
  await upload(address, 'app', '1', image);
  const { store } = makeStore(t);
  await store.pull(`${address}/app:1`, {});
  await store.push(`${address}/app:1`, `${address}/copy:2`, {});
  const other = makeStore(t).store;
  const pulled = await other.pull(`${address}/copy:2`, {});
  assert.equal(pulled.manifestDigest, image.manifestDigest);
  for (const format of ['docker-archive', 'oci-archive'] as const) {
    const third = makeStore(t).store;
    const loaded = await third.load(await store.save([`${address}/app:1`], format));
    assert.deepEqual(
      loaded.map((record) => [record.id, record.tags]),
      [[image.configDigest, [`${address}/app:1`]]],
    );
    assert.equal(third.find(`${address}/app:1`)?.id, image.configDigest);
  }
});

test('an image that is removed while it is being saved is saved whole', async (t) => {
  const address = await startRegistry(t);
  const image = makeImage([tarOf(t, { a: 'a'.repeat(5 << 20) })], { compress: (tar) => tar });
  await upload(address, 'app', '1', image);
  const { store, data } = makeStore(t);
  await store.pull(`${address}/app:1`, {});
  const archive = await store.save([`${address}/app:1`], 'oci-archive');
  const begun = archive[Symbol.asyncIterator]();
  const first = await begun.next();
  await store.prune({ all: true, inUse: never });
  assert.deepEqual(readdirSync(path.join(data, 'images', 'blobs', 'sha256')), []);
  const rest = [first.value as Buffer];
  for (let next = await begun.next(); !next.done; next = await begun.next()) rest.push(next.value as Buffer);
  const [loaded] = await makeStore(t).store.load(Readable.from(rest));
  assert.equal(loaded?.id, image.configDigest);
});

test('a registry that takes nothing more ends a push', async (t) => {
  const address = await startRegistry(t);
  await upload(address, 'app', '1', makeImage([tarOf(t, { a: 'a'.repeat(8 << 20) })], { compress: (tar) => tar }));
  const { store } = makeStore(t, { stallMs: 1000 });
  await store.pull(`${address}/app:1`, {});
  const deaf = createServer((request, response) => {
    if (request.url === '/v2/') response.end();
    else if (request.method === 'POST') response.writeHead(202, { location: '/v2/app/blobs/uploads/1' }).end();
    else if (request.method === 'HEAD') response.writeHead(404).end();
    else request.pause();
  });
  await new Promise<void>((resolve) => deaf.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    deaf.close();
    deaf.closeAllConnections();
  });
  const { port } = deaf.address() as AddressInfo;
  const before = Date.now();
  const pushed = store.push(`${address}/app:1`, `127.0.0.1:${port}/app:1`, {});
  await assert.rejects(pushed, { code: 'registry_unreachable', message: /nothing moved for 1 s/ });
  assert.ok(Date.now() - before < 15_000);
});

test('archives made by skopeo are taken in by pull and load', async (t) => {
  const address = await startRegistry(t);
  const image = makeImage([tarOf(t, { a: '1' })]);
  await upload(address, 'app', '1', image);
  const { store, data } = makeStore(t);
  await store.pull(`${address}/app:1`, {});
  const file = path.join(data, 'archive.tar');
  await store.push(`${address}/app:1`, `docker-archive:${file}:example.com/made:5`, {});
  const other = makeStore(t).store;
  const record = await other.pull(`docker-archive:${file}`, {});
  assert.deepEqual(record.tags, ['example.com/made:5']);
  assert.deepEqual(record.layers, image.diffIds);
  await store.push(`${address}/app:1`, `oci:${path.join(data, 'layout')}:example.com/made:6`, {});
  assert.deepEqual(
    (await other.pull(`oci:${path.join(data, 'layout')}:example.com/made:6`, {})).tags.sort(),
    ['example.com/made:5', 'example.com/made:6'].slice(1),
  );
  await assert.rejects(other.pull('docker-archive:/nowhere/x.tar', {}), { code: 'no_such_image' });
  await assert.rejects(other.load(Readable.from([Buffer.from('garbage'.repeat(100))])), { code: 'archive_rejected' });
});

test('images are found by tag, id, prefix and digest; tags move; removing frees what no one needs', async (t) => {
  const address = await startRegistry(t);
  const base = tarOf(t, { base: 'x'.repeat(1000) });
  const one = makeImage([base, tarOf(t, { one: '1' })]);
  const two = makeImage([base, tarOf(t, { two: '2' })]);
  await upload(address, 'app', '1', one);
  await upload(address, 'app', '2', two);
  const { store, data } = makeStore(t);
  await store.pull(`${address}/app:1`, {});
  await store.pull(`${address}/app:2`, {});
  const layers = (): string[] => readdirSync(path.join(data, 'layers'));
  assert.equal(layers().length, 3);
  store.tag(`${address}/app:1`, 'mine');
  for (const name of [
    'mine',
    'docker.io/library/mine:latest',
    one.configDigest,
    one.configDigest.slice(7, 15),
    `${address}/app@${one.manifestDigest}`,
  ]) {
    assert.equal(store.find(name)?.id, one.configDigest, name);
  }
  assert.equal(store.find('nothing'), undefined);
  assert.deepEqual(await store.remove('mine', { force: false, inUse: never }), {
    untagged: ['docker.io/library/mine:latest'],
    deleted: [],
  });
  await assert.rejects(store.remove(`${address}/app:1`, { force: false, inUse: always }), { code: 'in_use' });
  assert.deepEqual((await store.remove(`${address}/app:1`, { force: false, inUse: never })).deleted, [
    one.configDigest,
  ]);
  assert.deepEqual(layers().sort(), two.diffIds.map((id) => `${id.slice(7)}.sqfs`).sort());
  assert.deepEqual((await store.prune({ all: true, inUse: always })).images, []);
  const pruned = await store.prune({ all: true, inUse: never });
  assert.deepEqual(pruned.images, [two.configDigest]);
  assert.ok(pruned.freedBytes > 8000, `${pruned.freedBytes}`);
  assert.deepEqual(readdirSync(path.join(data, 'images', 'blobs', 'sha256')), []);
  await assert.rejects(store.remove('gone', { force: false, inUse: never }), { code: 'no_such_image' });
});

test('a Dockerfile is built upon an image of the store, without any registry', async (t) => {
  const { store } = makeStore(t);
  const image = makeImage([tarOf(t, { base: 'b' })], { history: false });
  const address = await startRegistry(t);
  await upload(address, 'app', '1', image);
  await store.pull(`${address}/app:1`, {});
  store.tag(`${address}/app:1`, 'local/base:1');
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is what a Dockerfile says
  const dockerfile = 'ARG V=9\nFROM local/base:${V}\nARG W\nCOPY own /own\nLABEL w=$W\nCMD ["/own"]\n';
  const context = tarOf(t, { Dockerfile: dockerfile, own: 'mine' });
  const lines: string[] = [];
  const built = await store.build(Readable.from([context]), {
    dockerfile: 'Dockerfile',
    tag: 'local/made',
    buildArgs: { V: '1', W: 'w1' },
    onProgress: (line) => lines.push(line.message ?? ''),
  });
  assert.deepEqual(built.tags, ['docker.io/local/made:latest']);
  assert.deepEqual(built.config.cmd, ['/own']);
  assert.equal(built.config.labels.w, 'w1');
  assert.equal(built.layers[0], image.diffIds[0]);
  assert.ok(lines.some((line) => line.includes('COPY own /own')));
  const wrong = tarOf(t, { Dockerfile: 'FROM local/base:1\nCOPY missing /x\n' });
  await assert.rejects(store.build(Readable.from([wrong]), { dockerfile: 'Dockerfile', buildArgs: {} }), {
    code: 'build_failed',
  });
  await assert.rejects(store.build(Readable.from([wrong]), { dockerfile: '../x', buildArgs: {} }), {
    code: 'build_failed',
  });
});

const BOX = (t: TestContext): Buffer => {
  const directory = temporaryDirectory(t);
  mkdirSync(path.join(directory, 'bin'));
  copyFileSync('/bin/busybox', path.join(directory, 'bin/sh'));
  return execFileSync('tar', ['-c', '-C', directory, '.'], { maxBuffer: 1 << 26 });
};

test('a build fetches its base itself, runs on a network of its own or none, and leaves no mount', async (t) => {
  const address = await startRegistry(t);
  await upload(address, 'box', '1', makeImage([BOX(t)]));
  const netns = `bhbuild${process.pid}`;
  execFileSync('ip', ['netns', 'add', netns]);
  t.after(() => execFileSync('ip', ['netns', 'delete', netns]));
  let lent = 0;
  const buildNetwork = async () => {
    lent++;
    return {
      netnsPath: `/run/netns/${netns}`,
      dnsServer: '192.0.2.53',
      release: async () => {
        lent--;
      },
    };
  };
  const { store, data } = makeStore(t, { buildNetwork });
  const show = 'ls -l /proc/self/ns/net; cat /etc/resolv.conf; echo --from=nobody/asked:1';
  const context = () => Readable.from([tarOf(t, { Dockerfile: `FROM ${address}/box:1\nRUN ${show}\n` })]);
  const built = async (network: 'default' | 'none'): Promise<string> => {
    const lines: string[] = [];
    const onProgress = ({ message = '' }) => lines.push(message);
    await store.build(context(), { dockerfile: 'Dockerfile', buildArgs: {}, noCache: true, network, onProgress });
    return lines.join('\n');
  };
  const own = await built('default');
  assert.equal(store.find(`${address}/box:1`)?.tags.length, 1, 'the base is in the store now');
  assert.ok(own.includes(`net:[${statSync(`/run/netns/${netns}`).ino}]`), own);
  assert.match(own, /192\.0\.2\.53/);
  assert.equal(lent, 0, 'the network was given back');
  const none = await built('none');
  assert.match(none, /net:\[\d+\]/);
  assert.ok(!none.includes(statSync('/proc/self/ns/net').ino.toString()), 'not the network of the host');
  assert.ok(!readFileSync('/proc/self/mounts', 'utf8').includes(data));
});
