/** Registries and manifests that lie, stall, break off or refuse: a clear code each time, and nothing half done. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import {
  freePort,
  type Made,
  type MakeOptions,
  makeImage,
  makeStore,
  sha256,
  startRegistry,
  tarOf,
  upload,
} from './registry.ts';

type Answer = (request: http.IncomingMessage, response: http.ServerResponse) => boolean;

/** A registry that serves `image` as `app:1` unless `answer` takes the request over. */
async function lyingRegistry(t: TestContext, image: Made, answer: Answer = () => false): Promise<string> {
  const server = http.createServer((request, response) => {
    if (answer(request, response)) return;
    const found = /\/(blobs|manifests)\/(.+)$/.exec(request.url ?? '');
    const bytes = found?.[1] === 'manifests' ? image.manifest : image.blobs.get(found?.[2] ?? '');
    if (request.url === '/v2/') response.end('{}');
    else if (bytes === undefined) response.writeHead(404).end('{"errors":[{"code":"MANIFEST_UNKNOWN"}]}');
    else {
      const mediaType =
        found?.[1] === 'manifests' ? JSON.parse(image.manifest.toString()).mediaType : 'application/octet-stream';
      response.writeHead(200, { 'content-type': mediaType, 'content-length': bytes.length }).end(bytes);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
}

async function refused(
  t: TestContext,
  address: string,
  code: string,
  expected?: RegExp,
  stallMs = 3000,
): Promise<void> {
  const { store, data } = makeStore(t, { stallMs });
  await assert.rejects(store.pull(`${address}/app:1`, {}), (error: Error & { code: string }) => {
    assert.equal(error.code, code, error.message);
    if (expected !== undefined) assert.match(error.message, expected);
    assert.ok(error.message.length < 500, error.message);
    return true;
  });
  assert.deepEqual(store.list(), []);
  assert.deepEqual(readdirSync(path.join(data, 'tmp', 'images')), []);
  assert.deepEqual(
    readdirSync(path.join(data, 'layers')).filter((name) => !name.endsWith('.sqfs')),
    [],
  );
}

const lies: [string, MakeOptions['lie'], string][] = [
  ['is an index and an image', (m) => Object.assign(m, { manifests: [] }), 'invalid_manifest'],
  ['has no layers', (m) => Object.assign(m, { layers: undefined }), 'invalid_manifest'],
  [
    'has fewer layers than its configuration',
    (m) => Object.assign(m, { layers: (m.layers as unknown[]).slice(1) }),
    'invalid_manifest',
  ],
  [
    'names no digest',
    (m) => Object.assign((m.layers as { digest: string }[])[0]!, { digest: 'sha256:../../x' }),
    'invalid_manifest',
  ],
  ['has an enormous configuration', (m) => Object.assign(m.config as object, { size: 2 ** 40 }), 'invalid_manifest'],
  [
    'promises another size',
    (m) => Object.assign((m.layers as { size: number }[])[0]!, { size: 17 }),
    'digest_mismatch',
  ],
];

for (const [what, lie, code] of lies) {
  test(`a manifest that ${what} is refused`, async (t) => {
    const image = makeImage([tarOf(t, { a: '1' }), tarOf(t, { b: '2' })], { lie: lie! });
    await refused(t, await lyingRegistry(t, image), code);
  });
}

test('content that is not its digest is refused', async (t) => {
  const image = makeImage([tarOf(t, { a: '1' })]);
  const layer = JSON.parse(image.manifest.toString()).layers[0].digest;
  const address = await lyingRegistry(t, image, (request, response) => {
    if (!request.url?.endsWith(layer)) return false;
    response.end(Buffer.alloc(image.blobs.get(layer)!.length, 'x'));
    return true;
  });
  await refused(t, address, 'digest_mismatch');
});

test('a manifest beyond 4 MiB is refused', async (t) => {
  const image = makeImage([tarOf(t, { a: '1' })], {
    lie: (m) => Object.assign(m, { annotations: { x: 'y'.repeat(5 * 2 ** 20) } }),
  });
  await refused(t, await lyingRegistry(t, image), 'invalid_manifest');
});

test('denied, unknown, garbage, failing, resetting and absent registries have their codes', async (t) => {
  const image = makeImage([tarOf(t, { a: '1' })]);
  const status =
    (code: number, body: string): Answer =>
    (request, response) => {
      if (!request.url?.includes('/manifests/')) return false;
      response.writeHead(code, { 'content-type': 'application/json' }).end(body);
      return true;
    };
  await refused(
    t,
    await lyingRegistry(t, image, status(403, '{"errors":[{"code":"DENIED","message":"no"}]}')),
    'registry_denied',
  );
  await refused(
    t,
    await lyingRegistry(t, image, status(404, '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')),
    'no_such_image',
  );
  await refused(t, await lyingRegistry(t, image, status(500, 'boom \u001b[31m')), 'registry_unreachable');
  await refused(t, await lyingRegistry(t, image, status(200, '<html>welcome</html>')), 'invalid_manifest');
  const reset: Answer = (request) => request.socket.destroy() !== undefined;
  await refused(t, await lyingRegistry(t, image, reset), 'registry_unreachable');
  const garbage = net.createServer((socket) => socket.on('error', () => {}).end('\u0000\u0001 no http at all\r\n'));
  await new Promise<void>((resolve) => garbage.listen(0, '127.0.0.1', resolve));
  t.after(() => garbage.close());
  await refused(t, `127.0.0.1:${(garbage.address() as net.AddressInfo).port}`, 'registry_unreachable');
  await refused(t, `127.0.0.1:${await freePort()}`, 'registry_unreachable', /refused/);
});

test('a registry that stalls ends at the limit, before and in the middle of a layer', async (t) => {
  const image = makeImage([tarOf(t, { a: '1' })]);
  const silent = await lyingRegistry(t, image, (request) => request.url?.includes('/manifests/') === true);
  await refused(t, silent, 'registry_unreachable', /nothing moved for/, 600);
  const layer = JSON.parse(image.manifest.toString()).layers[0].digest;
  const half = await lyingRegistry(t, image, (request, response) => {
    if (!request.url?.endsWith(layer)) return false;
    response.writeHead(200, { 'content-length': image.blobs.get(layer)!.length });
    response.write(image.blobs.get(layer)!.subarray(0, 20));
    return true;
  });
  await refused(t, half, 'registry_unreachable', /nothing moved for/, 600);
});

test('a multi-architecture image gives the host variant, another on request, or says what it has', async (t) => {
  const address = await startRegistry(t);
  const variants = {
    amd64: makeImage([tarOf(t, { a: 'amd' })], { architecture: 'amd64' }),
    arm64: makeImage([tarOf(t, { a: 'arm' })], { architecture: 'arm64' }),
  };
  for (const [name, image] of Object.entries(variants)) await upload(address, 'app', name, image);
  const manifests = Object.entries(variants).map(([architecture, image]) => ({
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: image.manifestDigest,
    size: image.manifest.length,
    platform: { os: 'linux', architecture },
  }));
  const index = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests }),
  );
  await upload(address, 'app', 'all', { ...variants.amd64, manifest: index, blobs: new Map() });
  const { store } = makeStore(t);
  const own = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const other = own === 'arm64' ? 'amd64' : 'arm64';
  const record = await store.pull(`${address}/app:all`, {});
  assert.equal(record.id, variants[own].configDigest);
  assert.ok(record.repoDigests.includes(`${address}/app@${sha256(index)}`));
  assert.equal(store.find(`${address}/app@${sha256(index)}`)?.id, record.id);
  assert.equal(
    (await store.pull(`${address}/app:all`, { platform: `linux/${other}` })).id,
    variants[other].configDigest,
  );
  await assert.rejects(store.pull(`${address}/app:all`, { platform: 'linux/s390x' }), { code: 'platform_missing' });
  await assert.rejects(store.pull(`${address}/app:all`, { platform: 'nonsense' }), { code: 'invalid_request' });
});
