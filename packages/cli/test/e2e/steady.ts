/** A task that runs through everything a test does to the engine, and counts aloud. */
import assert from 'node:assert/strict';
import { Engine, loadBusybox } from './harness.ts';

const TICKER = 'i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.2; done';

export interface Facts {
  id: string;
  state: string;
  startedAt: number;
  restartCount: number;
}

export async function facts(engine: Engine, name: string): Promise<Facts | undefined> {
  const found = await engine.bh(['inspect', name]);
  return found.code === 0 ? JSON.parse(found.stdout)[0].summary : undefined;
}

/** An engine with the image `box` and the task `steady`. */
export async function startSteady(
  level: string,
  prepare?: (engine: Engine) => void,
): Promise<{ engine: Engine; steady: Facts }> {
  const engine = await Engine.start([], prepare);
  await loadBusybox(engine, { name: 'box' });
  await engine.ok('run', '-d', '--name', 'steady', '--isolation', level, 'box', 'sh', '-c', TICKER);
  const steady = await facts(engine, 'steady');
  assert.ok(steady);
  return { engine, steady };
}

export async function assertUndisturbed(engine: Engine, before: Facts): Promise<void> {
  const now = await facts(engine, 'steady');
  assert.equal(now?.id, before.id);
  assert.equal(now.state, 'running');
  assert.equal(now.startedAt, before.startedAt, 'the steady task was restarted');
  assert.equal(now.restartCount, 0);
}

export async function assertWholeLog(engine: Engine): Promise<void> {
  const log = (await engine.ok('logs', 'steady')).split('\n').filter((line) => line !== '');
  assert.ok(log.length > 3, 'the log is gone');
  log.forEach((line, index) => {
    assert.equal(line, `tick ${index + 1}`, 'a log line is missing');
  });
}
