/** The API over its unix socket: errors, streams, upgrades, limits; the mock driver behind it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROUTES } from '@bulkhead/contract';
import { Client } from '@bulkhead/sdk';
import { FakeEngine } from '@bulkhead/testkit';

async function engine(t: TestContext): Promise<{ fake: FakeEngine; client: Client }> {
  const fake = new FakeEngine();
  t.after(() => fake.dispose());
  await fake.start();
  return { fake, client: new Client(fake.socket) };
}

function call(socketPath: string, method: string, path: string, body?: string, headers: Record<string, string> = {}) {
  return new Promise<{ status: number; body: string }>((resolve, reject) => {
    const request = http.request({ socketPath, method, path, headers }, async (response) => {
      resolve({ status: response.statusCode ?? 0, body: await text(response) });
    });
    request.on('error', reject);
    request.end(body);
  });
}

const JSON_TYPE = { 'content-type': 'application/json' };

async function collect<V>(lines: AsyncIterable<V>): Promise<V[]> {
  const all: V[] = [];
  for await (const line of lines) all.push(line);
  return all;
}

test('only owner and group may use the socket; a stale one is replaced, a living one is not', async (t) => {
  const { fake } = await engine(t);
  assert.equal(statSync(fake.socket).mode & 0o777, 0o660);
  await assert.rejects(async () => new FakeEngine({ directory: fake.directory }), { code: 'in_use' });
  const other = new FakeEngine();
  t.after(() => other.dispose());
  writeFileSync(other.socket, '');
  await other.start();
  assert.equal((await call(other.socket, 'GET', '/v1/ping')).status, 200);
});

test('what a client gets wrong is an error with a code, and the engine goes on', async (t) => {
  const { fake } = await engine(t);
  const cases: [string, string, string | undefined, number, string][] = [
    ['GET', '/v1/nothing', undefined, 404, 'not_found'],
    ['DELETE', '/v1/ping', undefined, 404, 'not_found'],
    ['GET', '/v1/instances/nobody', undefined, 404, 'no_such_instance'],
    ['GET', '/v1/instances/%00%0a', undefined, 404, 'no_such_instance'],
    ['GET', '/v1/instances/%zz', undefined, 400, 'invalid_request'],
    ['POST', '/v1/instances', '{', 400, 'invalid_request'],
    ['POST', '/v1/instances', '{}', 400, 'invalid_request'],
    ['POST', '/v1/instances', '{"image":"fake","nonsense":1}', 400, 'invalid_request'],
    ['POST', '/v1/instances', '{"image":"fake","isolation":"cardboard"}', 400, 'invalid_level'],
    ['POST', '/v1/instances', `{"image":"${'x'.repeat(9 << 20)}"}`, 413, 'too_large'],
    ['GET', '/v1/instances?filter=colour=red', undefined, 400, 'invalid_request'],
    ['GET', '/v1/images/inspect', undefined, 400, 'invalid_request'],
    ['POST', '/v1/instances/nobody/stop?timeoutMs=soon', undefined, 400, 'invalid_request'],
    ['GET', '/v1/exec/none', undefined, 404, 'no_such_exec'],
  ];
  for (const [method, path, body, status, code] of cases) {
    const answer = await call(fake.socket, method, path, body, body ? JSON_TYPE : {});
    assert.equal(answer.status, status, `${method} ${path}: ${answer.body}`);
    const error = JSON.parse(answer.body);
    assert.equal(error.code, code, `${method} ${path}`);
    assert.ok(error.message && error.hint, `${method} ${path} has no message or hint`);
  }
  assert.equal((await call(fake.socket, 'GET', '/v1/ping')).status, 200);
});

test('one megabyte of arguments arrives whole', async (t) => {
  const { client } = await engine(t);
  const long = 'x'.repeat(1 << 20);
  const { id } = await client.createInstance({ image: 'fake', command: ['echo', long] });
  assert.equal((await client.inspectInstance(id)).process.args[1]?.length, long.length);
});

test('the OpenAPI document lists every route', async (t) => {
  const { client } = await engine(t);
  const document = (await client.openapi()) as { openapi: string; paths: Record<string, Record<string, unknown>> };
  assert.match(document.openapi, /^3\.1/);
  for (const route of Object.values(ROUTES)) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    assert.ok(document.paths[path]?.[route.method.toLowerCase()], `${route.method} ${path}`);
  }
  const names = new Set(Object.keys((document as unknown as { components: { schemas: object } }).components.schemas));
  for (const [, name] of JSON.stringify(document).matchAll(/#\/components\/schemas\/(\w+)/g))
    assert.ok(names.has(name!));
});

test('attach replays the log, keeps the streams apart and ends with the exit code', async (t) => {
  const { client } = await engine(t);
  const env = ['MOCK_OUTPUT=out', 'MOCK_STDERR=err', 'MOCK_RUN_FOR=50', 'MOCK_EXIT_CODE=9'];
  const { id } = await client.createInstance({ image: 'fake', start: true, env });
  for (const when of ['while it runs', 'after its end']) {
    const session = await client.attach(id, { logs: true });
    const [out, err, code] = await Promise.all([text(session.stdout), text(session.stderr), session.exit]);
    assert.deepEqual([out, err, code], ['out\n', 'err\n', 9], when);
  }
});

test('attached before its start, a client misses nothing', async (t) => {
  const { client } = await engine(t);
  const { id } = await client.createInstance({ image: 'fake', env: ['MOCK_OUTPUT=first', 'MOCK_RUN_FOR=20'] });
  const session = await client.attach(id, { logs: true });
  const output = text(session.stdout);
  session.stderr.resume();
  await client.startInstance(id);
  assert.equal(await session.exit, 0);
  assert.equal(await output, 'first\n');
});

test('with --rm the exit comes when nothing is left, and at once', async (t) => {
  const { client } = await engine(t);
  const request = {
    image: 'fake',
    name: 'once',
    start: true,
    autoRemove: true,
    env: ['MOCK_RUN_FOR=1', 'MOCK_OUTPUT=x'],
  };
  for (let round = 0; round < 3; round++) {
    await client.createInstance(request);
    const session = await client.attach('once', { logs: true });
    session.stderr.resume();
    const output = text(session.stdout);
    assert.equal(await session.exit, 0);
    assert.equal(await output, 'x\n');
    assert.deepEqual(await client.listInstances({ all: true }), []);
  }
});

test('stdin reaches the task, signals are forwarded, and a client that leaves stops nothing', async (t) => {
  const { client } = await engine(t);
  const { id } = await client.createInstance({ image: 'fake', start: true, openStdin: true });
  const first = await client.attach(id, { stdin: true });
  first.stdin.write('hello\n');
  const [chunk] = await once(first.stdout, 'data');
  assert.equal(String(chunk), 'hello\n');
  first.close();
  await sleep(50);
  assert.equal((await client.inspectInstance(id)).summary.state, 'running');
  const second = await client.attach(id, {});
  second.stdout.resume();
  second.stderr.resume();
  second.signal('TERM');
  assert.equal(await second.exit, 143);
});

test('an exec streams both ways and tells its exit code', async (t) => {
  const { client } = await engine(t);
  const { id } = await client.createInstance({ image: 'fake', start: true, name: 'host' });
  const cat = await client.createExec(id, { command: ['cat'], openStdin: true });
  const session = await client.startExec(cat.id);
  const data = Buffer.alloc(3 << 20, 'bulkhead');
  session.stdin.end(data);
  session.stderr.resume();
  assert.equal(await text(session.stdout), data.toString());
  assert.equal(await session.exit, 0);
  const seven = await client.createExec('host', { command: ['exit', '7'] });
  const run = await client.startExec(seven.id);
  run.stdout.resume();
  run.stderr.resume();
  assert.equal(await run.exit, 7);
  assert.equal((await client.inspectExec(seven.id)).exitCode, 7);
  await assert.rejects(client.startExec(seven.id), { code: 'wrong_state' });
  const missing = await client.createExec(id, { command: ['no-such-command'] });
  await assert.rejects(client.startExec(missing.id), { code: 'command_not_found' });
});

test('a frame beyond all bounds ends its connection, not the engine', async (t) => {
  const { fake, client } = await engine(t);
  const { id } = await client.createInstance({ image: 'fake', start: true, openStdin: true });
  const socket = net.connect(fake.socket);
  socket.on('error', () => undefined);
  socket.write(
    `GET /v1/instances/${id}/attach?stdin=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: bulkhead-stream\r\n\r\n`,
  );
  await once(socket, 'data');
  socket.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]));
  await once(socket.resume(), 'close');
  assert.equal((await client.inspectInstance(id)).summary.state, 'running');
});

test('pull shows progress, and a failure is the last line', async (t) => {
  const { client } = await engine(t);
  const lines = await collect(client.pullImage({ reference: 'fake' }));
  assert.deepEqual(
    lines.map((line) => line.phase),
    ['downloading', 'done'],
  );
  assert.match(lines.at(-1)?.message ?? '', /^sha256:/);
  await assert.rejects(collect(client.pullImage({ reference: 'unknown' })), { code: 'no_such_image' });
});

test('events are heard as they happen, and can be asked for later', async (t) => {
  const { client } = await engine(t);
  const stop = new AbortController();
  const heard: string[] = [];
  const listening = (async () => {
    for await (const event of client.events({ filter: ['type=instance'] }, { signal: stop.signal })) {
      heard.push(event.action);
      if (event.action === 'destroy') return;
    }
  })();
  await sleep(50);
  await client.createInstance({ image: 'fake', start: true, name: 'x' });
  await client.removeInstance('x', { force: true });
  await listening;
  stop.abort();
  assert.deepEqual(heard, ['create', 'start', 'die', 'stop', 'destroy']);
  const past = await collect(client.events({ since: 0, until: Date.now() + 1000, filter: ['action=die'] }));
  assert.equal(past.length, 1);
});

test('archives, volumes, networks and images have their addresses', async (t) => {
  const { client } = await engine(t);
  await client.createInstance({ image: 'fake', start: true, name: 'x', network: 'bridge' });
  assert.equal(await text(await client.readArchive('x', '/etc/hosts')), 'archive of /etc/hosts');
  await client.writeArchive('x', '/tmp', Readable.from([Buffer.alloc(1 << 20)]));
  await client.createVolume({ name: 'v' });
  await client.createNetwork({ name: 'n', subnet: '10.99.0.0/24' });
  await assert.rejects(client.createNetwork({ name: 'n' }), { code: 'name_in_use' });
  await assert.rejects(client.removeNetwork('bridge'), { code: 'in_use' });
  await client.removeNetwork('n');
  await assert.rejects(client.inspectNetwork('n'), { code: 'no_such_network' });
  await assert.rejects(client.removeImage('fake'), { code: 'in_use' });
  assert.deepEqual((await client.pruneVolumes({ all: true })).removed, ['v']);
  const [usage] = await collect(client.stats({ once: true }));
  assert.ok(usage && usage.cpuPercent > 40 && usage.cpuPercent < 60, JSON.stringify(usage));
});

test('an end asked for by the API leaves instances running, unless it says stop', async (t) => {
  const { fake, client } = await engine(t);
  await client.createInstance({ image: 'fake', start: true, name: 'x' });
  await client.shutdown({});
  await fake.ended;
  await fake.stop();
  const second = new FakeEngine({ directory: fake.directory });
  t.after(() => second.stop());
  await second.start();
  assert.equal((await client.inspectInstance('x')).summary.state, 'running');
});
