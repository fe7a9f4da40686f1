/** The engine is killed, at every named step and at random: no task notices, nothing acknowledged is lost, nothing leaks. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Engine, loadBusybox } from './harness.ts';

const KILLS = Number(process.env.BULKHEAD_TEST_KILLS ?? 40);

/** The steps the engine names; each is a place to die. */
const STEPS = [
  'create.stored',
  'start.preparing',
  'start.network',
  'start.starting',
  'start.driver',
  'start.running',
  'stop.stopping',
  'stop.signalled',
  'stop.stopped',
  'remove.stored',
  'remove.destroyed',
  'pull.fetched',
];

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('killing the engine', () => {
  let engine: Engine;
  let steady: string;
  before(async () => {
    engine = await Engine.start();
    await loadBusybox(engine, { name: 'box' });
    steady = (
      await engine.ok(
        'run',
        '-d',
        '--name',
        'steady',
        'box',
        'sh',
        '-c',
        'i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.2; done',
      )
    ).trim();
  });
  after(() => engine.dispose());

  const steadyFacts = async () => JSON.parse(await engine.ok('inspect', 'steady'))[0].summary;

  /** Host resources that belong to this engine's instances, by id. */
  function resources(): string[] {
    const bundles = existsSync(path.join(engine.run, 'instances'))
      ? readdirSync(path.join(engine.run, 'instances'))
      : [];
    const writable = existsSync(path.join(engine.data, 'instances'))
      ? readdirSync(path.join(engine.data, 'instances'))
      : [];
    const groups = globSync(`/sys/fs/cgroup/{,*/}bulkhead-${engine.tag}/*/`)
      .map((group) => path.basename(group))
      .filter((name) => /^[0-9a-f]{32}$/.test(name));
    const monitors = spawnSync('pgrep', ['-af', `conmon.*${engine.run}/`], { encoding: 'utf8' })
      .stdout.split('\n')
      .flatMap((line) => / -c ([0-9a-f]{32})/.exec(line)?.[1] ?? []);
    return [...new Set([...bundles, ...writable, ...groups, ...monitors])].sort();
  }

  for (const step of STEPS) {
    it(`at ${step} leaves running tasks alone and nothing half done`, async () => {
      const before = await steadyFacts();
      await engine.crash();
      await engine.boot({ BULKHEAD_FAULT: step });
      if (engine.pid !== 0) {
        // Provokes every step once; the engine dies on the way at the named one.
        await engine.bh(['run', '-d', '--name', 'victim', 'box', 'sleep', '300'], { timeoutMs: 20_000 });
        await engine.bh(['stop', '-t', '0', 'victim'], { timeoutMs: 20_000 });
        await engine.bh(['rm', '-f', 'victim'], { timeoutMs: 20_000 });
        if (step === 'pull.fetched')
          await engine.bh(['load', '-q', '-i', path.join(engine.folder, 'box.tar')], { timeoutMs: 20_000 });
      }
      await engine.crash();
      await engine.boot();
      const now = await steadyFacts();
      assert.equal(now.state, 'running');
      assert.equal(now.startedAt, before.startedAt, 'the steady task was restarted');
      await engine.bh(['rm', '-f', 'victim']);
      await sleep(300);
      assert.deepEqual(resources(), [steady], 'only the steady task has anything on the host');
    });
  }

  it(`${KILLS} times at random under load disturbs nothing, forgets nothing, leaks nothing`, {
    timeout: 14 * 60_000,
  }, async () => {
    const begin = await steadyFacts();
    const acknowledged = new Map<string, 'there' | 'gone'>();
    let load = true;
    let counter = 0;
    const worker = async (): Promise<void> => {
      while (load) {
        const name = `load-${counter++}`;
        const created = await engine.bh(['run', '-d', '--name', name, 'box', 'sleep', '300'], { timeoutMs: 15_000 });
        if (created.code === 0) acknowledged.set(name, 'there');
        if (counter % 3 !== 0) {
          const removed = await engine.bh(['rm', '-f', name], { timeoutMs: 15_000 });
          if (removed.code === 0) acknowledged.set(name, 'gone');
          else acknowledged.delete(name);
        }
        if (created.code !== 0) {
          acknowledged.delete(name);
          await sleep(30);
        }
      }
    };
    const workers = [worker(), worker()];
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(50 + Math.random() * 250);
      await engine.crash();
      await engine.boot();
      // Keeps the host small: what is known to be there and has been checked once is removed again.
      if (kill % 20 === 19) {
        for (const [name, fate] of [...acknowledged].slice(0, -2)) {
          const found = await engine.bh(['inspect', name]);
          if (fate === 'there') assert.equal(found.code, 0, `${name} was acknowledged and is lost: ${found.stderr}`);
          await engine.bh(['rm', '-f', name]);
          acknowledged.delete(name);
        }
      }
    }
    load = false;
    await Promise.all(workers);
    for (const [name, fate] of acknowledged) {
      const found = await engine.bh(['inspect', name]);
      assert.equal(found.code === 0, fate === 'there', `${name} should be ${fate}`);
    }
    const end = await steadyFacts();
    assert.equal(end.startedAt, begin.startedAt);
    assert.equal(end.restartCount, 0);
    const lines = (await engine.ok('logs', 'steady')).split('\n').filter((line) => line !== '');
    lines.forEach((line, index) => {
      assert.equal(line, `tick ${index + 1}`, 'a log line is missing');
    });
    const rest = (await engine.ok('ps', '-aq', '--no-trunc')).split('\n').filter((id) => id !== '' && id !== steady);
    if (rest.length > 0) await engine.ok('rm', '-f', ...rest);
    await sleep(1000);
    assert.deepEqual(resources(), [steady]);
  });
});
