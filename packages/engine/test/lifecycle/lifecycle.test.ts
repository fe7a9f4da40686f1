/** What instances do, on the mock driver: the rules of the lifecycle without a host. */
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CreateInstance } from '@bulkhead/contract';
import type { InstanceRecord } from '@bulkhead/engine';
import { FakeClock, FakeEngine, type FakeEngineOptions } from '@bulkhead/testkit';

async function engine(t: TestContext, options: FakeEngineOptions = {}): Promise<FakeEngine> {
  const fake = new FakeEngine(options);
  t.after(() => fake.dispose());
  await fake.start();
  return fake;
}

const started = (request: Partial<CreateInstance> = {}): CreateInstance => ({ image: 'fake', start: true, ...request });

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let round = 0; round < 250; round++) {
    if (holds()) return;
    await sleep(10);
  }
  assert.fail(`never: ${what}`);
}

test('created, started, stopped, started again, removed', async (t) => {
  const { engine: e, network } = await engine(t);
  const { instances } = e.lifecycle;
  const created = await instances.create({ image: 'fake', name: 'web' });
  assert.equal(created.state, 'pending');
  assert.equal((await instances.start('web')).state, 'running');
  assert.equal(network.leases().length, 1);
  const stopped = await instances.stop('web');
  assert.deepEqual([stopped.state, stopped.exitCode, stopped.lease], ['stopped', 143, undefined]);
  assert.equal(network.leases().length, 0);
  assert.equal((await instances.start(created.id.slice(0, 8))).state, 'running');
  await instances.remove('web', { force: true, volumes: false });
  assert.deepEqual(instances.list(), []);
});

test('what the state forbids is refused and changes nothing', async (t) => {
  const { engine: e } = await engine(t);
  const { instances, execs } = e.lifecycle;
  await instances.create(started({ name: 'up' }));
  await instances.create({ image: 'fake', name: 'idle' });
  await assert.rejects(instances.kill('idle'), { code: 'wrong_state' });
  await assert.rejects(instances.kill('up', 'NONSENSE'), { code: 'invalid_request' });
  await assert.rejects(instances.remove('up', { force: false, volumes: false }), { code: 'wrong_state' });
  assert.throws(() => execs.create('idle', { command: ['true'] }), { code: 'wrong_state' });
  await assert.rejects(instances.stop('nobody'), { code: 'no_such_instance' });
  assert.equal((await instances.start('up')).state, 'running', 'starting what runs is no error');
  assert.equal((await instances.stop('idle')).state, 'pending', 'stopping what never ran is no error');
});

test('a stop that is ignored ends with SIGKILL when its time is up', async (t) => {
  const { engine: e } = await engine(t);
  await e.lifecycle.instances.create(started({ name: 'deaf', env: ['MOCK_IGNORE_TERM=1'], stopTimeoutMs: 50 }));
  assert.equal((await e.lifecycle.instances.stop('deaf')).exitCode, 137);
});

test('bad tasks are refused before anything is made', async (t) => {
  const fake = await engine(t);
  const { instances } = fake.engine.lifecycle;
  await instances.create({ image: 'fake', name: 'taken' });
  const bad: [Partial<CreateInstance>, string][] = [
    [{ name: '../x' }, 'invalid_name'],
    [{ name: 'new\nline' }, 'invalid_name'],
    [{ name: 'taken' }, 'name_in_use'],
    [{ image: 'unknown' }, 'no_such_image'],
    [{ limits: { memoryBytes: 4096 } }, 'invalid_limit'],
    [{ limits: { cpus: 99 } }, 'invalid_limit'],
    [{ limits: { cpusetCpus: '0-7' } }, 'invalid_limit'],
    [{ mounts: [{ type: 'tmpfs', target: 'relative' }] }, 'invalid_mount'],
    [{ mounts: [{ type: 'tmpfs', target: '/a/../../b' }] }, 'invalid_mount'],
    [{ mounts: [{ type: 'bind', source: '/no/such/place', target: '/a' }] }, 'invalid_mount'],
    [{ mounts: [{ type: 'volume', source: '../escape', target: '/a' }] }, 'invalid_name'],
    [{ mounts: [{ type: 'bind', source: '/etc', target: '/a' }] }, 'not_granted'],
    [{ mounts: [{ type: 'bind', source: '/', target: '/a' }] }, 'not_granted'],
    [{ mounts: [{ type: 'bind', source: fake.directory, target: '/a' }] }, 'not_granted'],
    [{ capAdd: ['SYS_ADMIN'] }, 'not_granted'],
    [{ capAdd: ['NO_SUCH'] }, 'invalid_request'],
    [{ privileged: true }, 'not_supported'],
    [{ devices: ['/dev/sda'] }, 'not_supported'],
    [{ network: 'host' }, 'not_supported'],
    [{ network: 'unknown' }, 'no_such_network'],
    [{ sysctls: { 'kernel.panic': '1' } }, 'not_granted'],
    [{ isolation: 'vm' }, 'level_unavailable'],
    [{ env: ['=x'] }, 'invalid_request'],
    [{ command: ['a\0b'] }, 'invalid_request'],
    [{ hostname: 'a b' }, 'invalid_name'],
    [{ autoRemove: true, restart: { name: 'always' } }, 'invalid_request'],
  ];
  for (const [request, code] of bad) {
    await assert.rejects(instances.create(started(request)), { code }, JSON.stringify(request));
  }
  assert.equal(instances.list().length, 1);
  assert.deepEqual(fake.network.leases(), []);
});

test('an ordinary directory may be bound by trusted tasks, a link to a sensitive one may not', async (t) => {
  const fake = await engine(t);
  const { instances } = fake.engine.lifecycle;
  const { mkdtempSync, rmSync, symlinkSync } = await import('node:fs');
  const directory = mkdtempSync('/tmp/bulkhead-bind-');
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  symlinkSync('/etc', join(directory, 'innocent'));
  const bind = (source: string): Partial<CreateInstance> => ({ mounts: [{ type: 'bind', source, target: '/x' }] });
  await instances.create(started(bind(directory)));
  await assert.rejects(instances.create(started(bind(join(directory, 'innocent')))), { code: 'not_granted' });
  await assert.rejects(instances.create(started({ ...bind(directory), trust: 'untrusted' })), { code: 'not_granted' });
});

test('a failed start says why, leaves nothing, and can be tried again', async (t) => {
  const fake = await engine(t);
  const { instances } = fake.engine.lifecycle;
  await assert.rejects(instances.create(started({ name: 'x', env: ['MOCK_START_ERROR=command_not_found'] })), {
    code: 'command_not_found',
  });
  const record = instances.find('x');
  assert.deepEqual([record.state, record.exitCode], ['failed', 127]);
  assert.deepEqual(fake.network.leases(), []);
  await assert.rejects(instances.start('x'), { code: 'command_not_found' });
  const gone = started({ name: 'y', autoRemove: true, env: ['MOCK_START_ERROR=start_failed'] });
  await assert.rejects(instances.create(gone), { code: 'start_failed' });
  assert.throws(() => instances.find('y'), { code: 'no_such_instance' });
});

test('restarts back off from 100 ms, doubling up to a minute, and forget it after ten quiet seconds', async (t) => {
  const clock = new FakeClock();
  const fake = await engine(t, { clock });
  const { instances } = fake.engine.lifecycle;
  const request = started({ name: 'crash', env: ['MOCK_RUN_FOR=0', 'MOCK_EXIT_CODE=1'], restart: { name: 'always' } });
  await instances.create(request);
  await clock.advance(0);
  for (const delayMs of [100, 200, 400, 800, 1600]) {
    const before = instances.find('crash').restartCount;
    await clock.advance(delayMs - 1);
    assert.equal(instances.find('crash').restartCount, before, `restarted before ${delayMs} ms`);
    await clock.advance(1);
    assert.equal(instances.find('crash').restartCount, before + 1, `not restarted after ${delayMs} ms`);
  }
  await clock.advance(600_000);
  assert.equal(Math.max(...clock.delays.filter((delay) => delay < 100_000)), 60_000);
});

test('on-failure restarts only failures, and only as often as allowed', async (t) => {
  const fake = await engine(t);
  const { instances } = fake.engine.lifecycle;
  const restart = { name: 'on-failure', maxRetries: 2 } as const;
  await instances.create(started({ name: 'bad', env: ['MOCK_RUN_FOR=1', 'MOCK_EXIT_CODE=7'], restart }));
  await instances.create(started({ name: 'good', env: ['MOCK_RUN_FOR=1'], restart }));
  await until(
    'two restarts',
    () => instances.find('bad').restartCount === 2 && instances.find('bad').state === 'stopped',
  );
  await sleep(600);
  assert.equal(instances.find('bad').restartCount, 2);
  assert.equal(instances.find('good').restartCount, 0);
});

test('a stop calls a restart off; always comes back with the engine, unless-stopped does not', async (t) => {
  const first = new FakeEngine();
  await first.start();
  const { instances } = first.engine.lifecycle;
  await instances.create(started({ name: 'always', restart: { name: 'always' } }));
  await instances.create(started({ name: 'unless', restart: { name: 'unless-stopped' } }));
  await instances.create(started({ name: 'running', restart: { name: 'no' } }));
  await instances.stop('always');
  await instances.stop('unless');
  await sleep(300);
  assert.equal(instances.find('always').state, 'stopped');
  const startedAt = instances.find('running').startedAt;
  await first.stop();
  const second = await engine(t, { directory: first.directory });
  const after = second.engine.lifecycle.instances;
  await until('always runs', () => after.find('always').state === 'running');
  assert.equal(after.find('unless').state, 'stopped');
  assert.equal(after.find('running').startedAt, startedAt, 'what ran was taken over, not restarted');
});

test('an end while the engine was away is seen, with its exit code', async (t) => {
  const first = new FakeEngine();
  await first.start();
  await first.engine.lifecycle.instances.create(
    started({ name: 'brief', env: ['MOCK_RUN_FOR=300', 'MOCK_EXIT_CODE=42'] }),
  );
  await first.stop();
  await sleep(400);
  const second = await engine(t, { directory: first.directory });
  const record = second.engine.lifecycle.instances.find('brief');
  assert.deepEqual([record.state, record.exitCode], ['stopped', 42]);
  assert.deepEqual(second.network.leases(), []);
});

test('a health check turns healthy, then unhealthy, and a slow one counts as failed', async (t) => {
  const fake = await engine(t);
  const { instances } = fake.engine.lifecycle;
  const flag = join(fake.directory, 'flag');
  writeFileSync(flag, '');
  const check = { intervalMs: 20, timeoutMs: 100, retries: 2, startPeriodMs: 0 };
  await instances.create(started({ name: 'web', healthCheck: { test: ['CMD', 'exists', flag], ...check } }));
  await instances.create(started({ name: 'hang', healthCheck: { test: ['CMD', 'hang'], ...check, timeoutMs: 30 } }));
  await until('healthy', () => instances.find('web').health === 'healthy');
  await until('hang is unhealthy', () => instances.find('hang').health === 'unhealthy');
  const { rmSync } = await import('node:fs');
  rmSync(flag);
  await until('unhealthy', () => instances.find('web').health === 'unhealthy');
  assert.equal((await instances.stop('web')).health, 'none');
});

test('--rm leaves nothing, with its anonymous volumes; named ones stay', async (t) => {
  const fake = await engine(t);
  fake.images.add('stateful', { volumes: ['/var/lib/data'] });
  const { instances, volumes } = fake.engine.lifecycle;
  const mounts: CreateInstance['mounts'] = [{ type: 'volume', source: 'kept', target: '/kept' }];
  await instances.create(started({ image: 'stateful', autoRemove: true, mounts, env: ['MOCK_RUN_FOR=1'] }));
  assert.equal(volumes.list().length, 2);
  await until('gone', () => instances.list().length === 0 && volumes.list().length === 1);
  assert.deepEqual(
    volumes.list().map((volume) => volume.name),
    ['kept'],
  );
  assert.ok(existsSync(volumes.find('kept').path));
});

test("an image's VOLUME that leads out is refused", async (t) => {
  const fake = await engine(t);
  fake.images.add('hostile', { volumes: ['/data/../../etc'] });
  await assert.rejects(fake.engine.lifecycle.instances.create(started({ image: 'hostile' })), {
    code: 'archive_rejected',
  });
});

test('entrypoint, command, environment and directory merge as in Docker', async (t) => {
  const fake = await engine(t);
  const config = { entrypoint: ['/entry'], cmd: ['default'], env: ['A=1', 'B=2'], workdir: '/app', user: 'web' };
  fake.images.add('app', config);
  const { instances } = fake.engine.lifecycle;
  const look = async (request: Partial<CreateInstance>) => {
    const record: InstanceRecord = await instances.create({ image: 'app', ...request });
    return (await instances.describe(record)).process;
  };
  const plain = await look({});
  assert.deepEqual([plain.args, plain.cwd, plain.user], [['/entry', 'default'], '/app', 'web']);
  assert.deepEqual((await look({ command: ['x'] })).args, ['/entry', 'x']);
  assert.deepEqual((await look({ entrypoint: ['/other'] })).args, ['/other']);
  assert.deepEqual((await look({ entrypoint: [''], command: ['sh'] })).args, ['sh']);
  const { env } = await look({ env: ['B=3', 'A', 'C=x=y'] });
  assert.ok(env.includes('B=3') && env.includes('C=x=y') && !env.some((entry) => entry.startsWith('A=')));
});

test('the level comes from the policy, never weaker', async (t) => {
  const fake = await engine(t, { fingerprints: { gvisor: { available: false, reason: 'not here' } } });
  const { instances } = fake.engine.lifecycle;
  assert.equal((await instances.create(started())).decision.level, 'container');
  assert.equal((await instances.create(started({ isolation: 'microvm' }))).decision.level, 'microvm');
  await assert.rejects(instances.create(started({ trust: 'untrusted' })), { code: 'level_unavailable' });
});

test('fifty instances start and stop side by side', async (t) => {
  const fake = await engine(t);
  const { instances } = fake.engine.lifecycle;
  const made = await Promise.all(Array.from({ length: 50 }, () => instances.create(started())));
  assert.equal(new Set(made.map((record) => record.name)).size, 50);
  await Promise.all(made.map((record) => instances.remove(record.id, { force: true, volumes: false })));
  assert.deepEqual([instances.list(), fake.network.leases(), fake.reports], [[], [], []]);
});
