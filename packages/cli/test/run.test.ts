/** `run` and `exec`: streams byte for byte, signals, exit codes. The real launcher against a fake engine. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BulkheadError, type ErrorCode } from '@bulkhead/contract/errors';
import { FRAME } from '@bulkhead/contract/stream';
import type { CreateInstance } from '@bulkhead/contract/types';
import { bulkhead, FakeEngine, type FakeStream, ID, instance } from './fake-engine.ts';

const created = () => instance();

test('stdout and stderr come apart and byte for byte, the exit code is the task’s', async (t) => {
  const bytes = randomBytes(3_000_000);
  const engine = await FakeEngine.start(t, {
    createInstance: created,
    attach(stream) {
      for (let at = 0; at < bytes.length; at += 100_000) stream.send(FRAME.stdout, bytes.subarray(at, at + 100_000));
      stream.send(FRAME.stderr, 'warned\n');
      stream.exit(42);
    },
  });
  const { code, stdout, stderr } = await bulkhead(engine.socket, ['run', '--rm', 'alpine:3', 'sh', '-c', 'x']);
  assert.equal(code, 42);
  assert.equal(stdout.length, bytes.length);
  assert.ok(stdout.equals(bytes));
  assert.equal(stderr, 'warned\n');
  assert.deepEqual(
    engine.calls.map((call) => call.route),
    ['runInstance'],
  );
  const body = engine.calls[0]!.body as CreateInstance;
  assert.deepEqual(body, {
    image: 'alpine:3',
    command: ['sh', '-c', 'x'],
    autoRemove: true,
    start: true,
    pull: 'never',
  });
});

test('stdin goes in byte for byte with -i, and its end is told', async (t) => {
  const bytes = randomBytes(2_000_000);
  const engine = await FakeEngine.start(t, {
    createInstance: created,
    async attach(stream) {
      for await (const { type, payload } of stream.frames()) {
        if (type === FRAME.stdin) stream.send(FRAME.stdout, payload);
        if (type === FRAME.stdinEnd) stream.exit(0);
      }
    },
  });
  const { code, stdout } = await bulkhead(engine.socket, ['run', '-i', 'alpine:3', 'cat'], { input: bytes });
  assert.equal(code, 0);
  assert.ok(stdout.equals(bytes));
});

test('without -i stdin is left alone', async (t) => {
  const engine = await FakeEngine.start(t, { createInstance: created, attach: (stream) => stream.exit(0) });
  await bulkhead(engine.socket, ['run', 'alpine:3'], { input: 'not for the task' });
  assert.equal(engine.called('runInstance')[0]!.query.has('stdin'), false);
});

test('signals are passed on', async (t) => {
  const names: string[] = [];
  const engine = await FakeEngine.start(t, {
    createInstance: created,
    async attach(stream) {
      stream.send(FRAME.stdout, 'ready');
      for await (const { type, payload } of stream.frames()) {
        if (type === FRAME.signal) names.push(payload.toString());
        if (names.at(-1) === 'TERM') stream.exit(143);
      }
    },
  });
  const { code } = await bulkhead(engine.socket, ['run', 'alpine:3'], {
    started: (child) =>
      child.stdout!.once('data', () => {
        for (const [index, name] of (['SIGHUP', 'SIGUSR1', 'SIGINT', 'SIGTERM'] as const).entries())
          setTimeout(() => child.kill(name), index * 60);
      }),
  });
  assert.deepEqual(names, ['HUP', 'USR1', 'INT', 'TERM']);
  assert.equal(code, 143);
});

test('-d prints the id and connects nothing', async (t) => {
  const engine = await FakeEngine.start(t, { createInstance: created });
  const cidfile = join(engine.directory, 'cid');
  const { code, stdout } = await bulkhead(engine.socket, ['run', '-d', '--cidfile', cidfile, 'alpine:3']);
  assert.deepEqual([code, stdout.toString()], [0, `${ID}\n`]);
  assert.equal(readFileSync(cidfile, 'utf8'), ID);
  const again = await bulkhead(engine.socket, ['run', '-d', '--cidfile', cidfile, 'alpine:3']);
  assert.equal(again.code, 125);
  assert.equal(engine.called('createInstance').length, 1);
});

test('an absent image is pulled with progress on stderr, then the task runs', async (t) => {
  let have = false;
  const engine = await FakeEngine.start(t, {
    createInstance() {
      if (!have) throw new BulkheadError('no_such_image', 'image alpine:3 is not in the store');
      return created();
    },
    async *pullImage() {
      yield { phase: 'downloading', layer: 'sha256:0123456789abcdef', totalBytes: 1000 };
      yield { phase: 'unpacking', layer: 'sha256:0123456789abcdef' };
      have = true;
      yield { phase: 'done', message: 'sha256:aa' };
    },
    attach(stream) {
      stream.send(FRAME.stdout, 'out');
      stream.exit(0);
    },
  });
  const { code, stdout, stderr } = await bulkhead(engine.socket, ['run', 'alpine:3']);
  assert.deepEqual([code, stdout.toString()], [0, 'out']);
  assert.equal(stderr, '0123456789ab: downloading 1kB\n0123456789ab: unpacking\n');
  const never = await bulkhead(engine.socket, ['run', '--pull', 'never', 'alpine:3']);
  assert.equal(never.code, 0);
});

const EXITS: [ErrorCode, number][] = [
  ['no_such_image', 125],
  ['command_not_executable', 126],
  ['command_not_found', 127],
  ['level_unavailable', 125],
];
for (const [code, exit] of EXITS)
  test(`a run refused with ${code} ends with ${exit} and says the way out`, async (t) => {
    const engine = await FakeEngine.start(t, {
      createInstance() {
        throw new BulkheadError(code, `it was \x1b[31m${code}`);
      },
    });
    const outcome = await bulkhead(engine.socket, ['run', '--pull', 'never', 'alpine:3']);
    assert.equal(outcome.code, exit);
    assert.match(outcome.stderr, new RegExp(`^bulkhead: it was \\\\x1b\\[31m${code}\nhint: .+\n$`));
  });

test('an engine that goes away in between is told apart from a task that fails', async (t) => {
  const engine = await FakeEngine.start(t, {
    createInstance: created,
    attach: (stream: FakeStream) => {
      stream.send(FRAME.stdout, 'half');
      setTimeout(() => stream.cut(), 50);
    },
  });
  const { code, stdout, stderr } = await bulkhead(engine.socket, ['run', 'alpine:3']);
  assert.deepEqual([code, stdout.toString()], [125, 'half']);
  assert.match(stderr, /connection to the engine was lost; the task runs on/);
});

test('exec passes its flags, streams and the exit code', async (t) => {
  const engine = await FakeEngine.start(t, {
    createExec: () => ({ id: 'e1', instance: ID, running: false }),
    async startExec(stream) {
      for await (const { type, payload } of stream.frames()) {
        if (type === FRAME.stdin) stream.send(FRAME.stderr, payload);
        if (type === FRAME.stdinEnd) stream.exit(7);
      }
    },
  });
  const file = join(engine.directory, 'env');
  writeFileSync(file, '# comment\nA=1\nHOMELESS\n');
  const args = [
    'exec',
    '-i',
    '-e',
    'B=2',
    '-e',
    'TOOK',
    '--env-file',
    file,
    '-u',
    'www',
    '-w',
    '/srv',
    'web',
    'ls',
    '-l',
  ];
  const { code, stderr } = await bulkhead(engine.socket, args, { input: 'in', env: { TOOK: 'here' } });
  assert.deepEqual([code, stderr], [7, 'in']);
  const expected = {
    command: ['ls', '-l'],
    env: ['A=1', 'B=2', 'TOOK=here'],
    workdir: '/srv',
    user: 'www',
    openStdin: true,
  };
  assert.deepEqual(engine.called('createExec')[0]!.body, expected);
});

test('every flag of run reaches the engine as the API wants it', async (t) => {
  const engine = await FakeEngine.start(t, { createInstance: created });
  const line = `run -dit --name web -h box --domainname d -e A=1 -v data:/d:ro --mount type=tmpfs,dst=/t,tmpfs-size=1m
    --tmpfs /u -p 127.0.0.1:8080:80 -P -w /w -u 1:2 --group-add g --network n --network-alias al --add-host a:1.2.3.4
    --dns 1.1.1.1 --dns-search s --restart on-failure:3 --health-cmd true --health-interval 1s --health-timeout 2s
    --health-start-period 3s --health-retries 4 -m 64m --cpus 1.5 --pids-limit 50 --cpuset-cpus 0-1 --cpu-shares 512
    --shm-size 1m --read-only --init --cap-add NET_ADMIN --cap-drop ALL --privileged --device /dev/null
    --sysctl a.b=1 --ulimit nofile=10:20 --stop-signal INT --stop-timeout 3 --entrypoint /e -l k=v -l alone
    --log-opt max-size=1m --log-opt max-file=2 --isolation microvm --trust untrusted --storage-opt size=1g
    --pull never alpine:3 run --flag`;
  const { code, stderr } = await bulkhead(engine.socket, line.split(/\s+/));
  assert.deepEqual([code, stderr], [0, '']);
  assert.deepEqual(engine.called('createInstance')[0]!.body, {
    image: 'alpine:3',
    start: true,
    pull: 'never',
    command: ['run', '--flag'],
    entrypoint: ['/e'],
    name: 'web',
    isolation: 'microvm',
    trust: 'untrusted',
    env: ['A=1'],
    workdir: '/w',
    user: '1:2',
    groupAdd: ['g'],
    hostname: 'box',
    domainname: 'd',
    labels: { k: 'v', alone: '' },
    tty: true,
    openStdin: true,
    limits: { memoryBytes: 67108864, cpus: 1.5, pids: 50, cpuShares: 512, cpusetCpus: '0-1', diskBytes: 1073741824 },
    mounts: [
      { type: 'volume', source: 'data', target: '/d', readOnly: true },
      { type: 'tmpfs', target: '/t', sizeBytes: 1048576 },
      { type: 'tmpfs', target: '/u' },
    ],
    readOnlyRoot: true,
    ports: [{ hostIp: '127.0.0.1', hostPort: 8080, port: 80, protocol: 'tcp' }],
    publishAll: true,
    network: 'n',
    networkAliases: ['al'],
    extraHosts: ['a:1.2.3.4'],
    dns: ['1.1.1.1'],
    dnsSearch: ['s'],
    restart: { name: 'on-failure', maxRetries: 3 },
    healthCheck: { test: ['CMD-SHELL', 'true'], intervalMs: 1000, timeoutMs: 2000, startPeriodMs: 3000, retries: 4 },
    stopSignal: 'INT',
    stopTimeoutMs: 3000,
    init: true,
    capAdd: ['NET_ADMIN'],
    capDrop: ['ALL'],
    privileged: true,
    devices: ['/dev/null'],
    sysctls: { 'a.b': '1' },
    ulimits: [{ name: 'nofile', soft: 10, hard: 20 }],
    shmSizeBytes: 1048576,
    log: { maxSizeBytes: 1048576, maxFiles: 2 },
  });
});
