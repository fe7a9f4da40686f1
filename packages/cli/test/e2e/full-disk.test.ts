/** No space left, and a data directory that cannot be written: a clear error, nothing half done, nothing lost. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { it, type TestContext } from 'node:test';
import { startRegistry } from '../../../engine/test/images/registry.ts';
import { busyboxArchive, type Engine, type Outcome } from './harness.ts';
import { assertUndisturbed, type Facts, facts, startSteady } from './steady.ts';
import { HostState, traces } from './traces.ts';

const SIZE = '64m';
const CONTENT = 'x'.repeat(3_000_000);

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** An engine whose data directory is a small file system of its own, and a task on it. */
async function smallEngine(t: TestContext): Promise<{ engine: Engine; steady: Facts; host: HostState }> {
  const made = await startSteady('container', ({ data }) => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE},mode=711`, 'bulkhead-test', data]);
  });
  t.after(() => made.engine.dispose());
  return { ...made, host: await HostState.take(made.engine, [made.steady.id]) };
}

/** To the last byte: small files take what is left between two blocks of a large one. */
function fill(engine: Engine): () => void {
  const filler = path.join(engine.data, 'filler');
  for (const size of ['64k', '512']) {
    spawnSync('dd', ['if=/dev/zero', `of=${filler}`, `bs=${size}`, 'oflag=append', 'conv=notrunc'], {
      stdio: 'ignore',
    });
  }
  return () => rmSync(filler, { force: true });
}

function assertRefused(done: Outcome, words: RegExp, what: string): void {
  assert.equal(done.code === 0, false, `${what} went through`);
  assert.match(done.stderr, words, `${what}: ${done.stderr}`);
  assert.match(done.stderr, /hint: /, what);
}

const ticks = async (engine: Engine): Promise<number[]> =>
  (await engine.ok('logs', 'steady'))
    .split('\n')
    .flatMap((line) => /^tick (\d+)$/.exec(line)?.[1] ?? [])
    .map(Number);

it('a full disk refuses what needs space, disturbs nothing that runs, and is over when there is space', {
  timeout: 120_000,
}, async (t) => {
  const { engine, steady, host } = await smallEngine(t);
  const remote = `${await startRegistry(t)}/other:1`;
  const archive = busyboxArchive(engine.folder, { name: 'other', files: { 'more/data': CONTENT } });
  await engine.ok('load', '-q', '-i', archive);
  await engine.ok('tag', 'other', remote);
  await engine.ok('push', remote);
  await engine.ok('rmi', '-f', remote, 'other');
  await engine.ok('create', '--name', 'waiting', 'box', 'echo', 'started');
  await engine.ok('run', '-d', '--name', 'ending', 'box', 'sleep', '300');
  const layers = readdirSync(path.join(engine.data, 'layers'));
  const free = fill(engine);
  const before = (await ticks(engine)).at(-1) ?? 0;

  for (const args of [
    ['load', '-q', '-i', archive],
    ['pull', '-q', remote],
  ]) {
    assertRefused(await engine.bh(args), /no space/i, String(args));
    assert.notEqual((await engine.bh(['image', 'inspect', args.at(-1) === remote ? remote : 'other'])).code, 0);
    assert.deepEqual(readdirSync(path.join(engine.data, 'layers')), layers, 'half a layer is there');
    assert.deepEqual(readdirSync(path.join(engine.data, 'tmp', 'images')), [], 'what was begun is still there');
  }
  // What makes something: it succeeds whole, or says why not and leaves nothing that runs.
  for (const args of [
    ['create', '--name', 'made', 'box', 'true'],
    ['run', '-d', '--name', 'ran', 'box', 'sleep', '300'],
    ['start', 'waiting'],
  ]) {
    const tried = await engine.bh(args);
    if (tried.code !== 0) assertRefused(tried, /no space/i, String(args));
    const now = await facts(engine, args.at(-1) === 'waiting' ? 'waiting' : (args[args.indexOf('--name') + 1] ?? ''));
    if (tried.code !== 0) assert.notEqual(now?.state, 'running', String(args));
  }
  // What ends something frees space: it succeeds.
  await engine.ok('stop', '-t', '0', 'ending');
  assert.equal((await facts(engine, 'ending'))?.state, 'stopped');
  await engine.ok('rm', 'ending');
  await assertUndisturbed(engine, steady);

  free();
  await assertUndisturbed(engine, steady);
  const after = (await ticks(engine)).at(-1) ?? 0;
  await sleep(700);
  const log = await ticks(engine);
  assert.deepEqual(
    log.slice(0, before),
    Array.from({ length: before }, (_, index) => index + 1),
    'the log from before',
  );
  const later = log.filter((tick) => tick > after);
  assert.ok(later.length > 0, 'the log goes on');
  assert.deepEqual(
    later.slice(1).filter((tick, index) => tick !== later[index]! + 1),
    [],
    'the log goes on whole',
  );
  await engine.ok('load', '-q', '-i', archive);
  await engine.ok('pull', '-q', remote);
  for (const name of ['other', remote])
    assert.equal(await engine.ok('run', '--rm', name, 'cat', '/more/data'), CONTENT);
  await engine.ok('rmi', '-f', remote);
  await engine.bh(['rm', '-f', 'made', 'ran', 'waiting']);
  await engine.bh(['rmi', '-f', 'other']);
  await host.assertSame();
  await engine.dispose();
  assert.deepEqual(traces(engine), [], 'what a purge leaves');
});

it('a task that ends on a full disk has ended, also for an engine that is killed then', {
  timeout: 60_000,
}, async (t) => {
  const { engine, steady, host } = await smallEngine(t);
  await engine.ok('run', '-d', '--name', 'brief', 'box', 'sh', '-c', 'sleep 2; exit 7');
  await engine.ok('run', '-d', '--name', 'second', 'box', 'sh', '-c', 'sleep 4; exit 8');
  const free = fill(engine);
  assert.equal(await engine.ok('wait', 'brief'), '7');
  await engine.crash();
  await sleep(2500);
  await engine.boot();
  assert.equal(await engine.ok('wait', 'second'), '8');
  await assertUndisturbed(engine, steady);
  await engine.ok('rm', 'brief', 'second');
  await engine.crash();
  free();
  await engine.boot();
  await assertUndisturbed(engine, steady);
  await host.assertSame();
});

it('a task that fills the disk fails by itself, and its removal gives the space back', {
  timeout: 60_000,
}, async (t) => {
  const { engine, steady, host } = await smallEngine(t);
  for (const [flags, file] of [
    [['-v', 'store:/data'], '/data/all'],
    [[], '/all'],
  ] as const) {
    const greedy = await engine.bh([
      'run',
      '--name',
      'greedy',
      ...flags,
      'box',
      'dd',
      'if=/dev/zero',
      `of=${file}`,
      'bs=1M',
    ]);
    // What it says about it may find no room in its log; its exit code does.
    assert.equal(greedy.code, 1, greedy.stderr);
    await engine.ok('rm', 'greedy');
    if (flags.length > 0) await engine.ok('volume', 'rm', 'store');
    assert.equal(await engine.ok('run', '--rm', 'box', 'echo', 'fine'), 'fine');
  }
  await assertUndisturbed(engine, steady);
  await host.assertSame();
});

it('a data directory that becomes read-only is told by each command, and nothing is lost by it', {
  timeout: 60_000,
}, async (t) => {
  const { engine, steady, host } = await smallEngine(t);
  await engine.ok('create', '--name', 'kept', 'box', 'echo', 'kept');
  // Over the one the engine has files open on, which could not become read-only.
  execFileSync('mount', ['--bind', engine.data, engine.data]);
  t.after(() => spawnSync('umount', ['-l', engine.data], { stdio: 'ignore' }));
  execFileSync('mount', ['-o', 'remount,bind,ro', engine.data]);
  const archive = busyboxArchive(engine.folder, { name: 'other' });
  for (const args of [
    ['load', '-q', '-i', archive],
    ['run', '--rm', 'box', 'true'],
    ['run', '-d', '-v', 'fresh:/data', 'box', 'true'],
    ['start', 'kept'],
  ])
    assertRefused(await engine.bh(args), /read-only|cannot be written/i, String(args));
  await assertUndisturbed(engine, steady);
  execFileSync('umount', ['-l', engine.data]);
  await engine.ok('start', '-a', 'kept');
  assert.equal(await engine.ok('logs', 'kept'), 'kept');
  await engine.ok(
    'rm',
    '-f',
    ...(await engine.ok('ps', '-aq', '--no-trunc')).split('\n').filter((id) => id !== steady.id),
  );
  await engine.bh(['volume', 'rm', 'fresh']);
  await host.assertSame();
});

it('an engine does not start on a read-only data directory, says so, and finds everything afterwards', {
  timeout: 60_000,
}, async (t) => {
  const { engine, steady } = await smallEngine(t);
  await engine.ok('create', '--name', 'kept', 'box', 'echo', 'kept');
  await engine.ok('rm', '-f', 'steady');
  assert.ok(steady);
  await engine.bh(['down']);
  await engine.ended();
  execFileSync('mount', ['-o', 'remount,ro', engine.data]);
  await assert.rejects(
    engine.boot(),
    (error: Error) => /read-only|cannot be written/i.test(error.message) && !/at .*\.ts:/.test(error.message),
  );
  execFileSync('mount', ['-o', 'remount,rw', engine.data]);
  await engine.boot();
  assert.equal((await engine.bh(['start', '-a', 'kept'])).code, 0);
  assert.equal(await engine.ok('logs', 'kept'), 'kept');
  await engine.ok('rm', 'kept');
});
