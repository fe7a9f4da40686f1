/** The engine is killed at every named step; the next one finds everything in order. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FAULT_STEPS } from '@bulkhead/engine';
import { Client } from '@bulkhead/sdk';

const PROGRAM = join(import.meta.dirname, '../../../testkit/src/fake-engine-process.ts');

async function engine(t: TestContext, directory: string, step = ''): Promise<{ child: ChildProcess; client: Client }> {
  const child = spawn(process.execPath, [PROGRAM, directory, step], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout!, 'data');
  return { child, client: new Client(`${directory}/run/api.sock`) };
}

/** Some steps come after the answer is out: both an answer and a broken connection are right. */
async function attempt<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch {
    return undefined;
  }
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let round = 0; round < 200; round++) {
    if (await holds()) return;
    await sleep(20);
  }
  assert.fail(`never: ${what}`);
}

function leftovers(directory: string): string[] {
  const places = ['run/mock-container', 'data/mock-container', 'run/fake-network', 'data/instances', 'data/volumes'];
  return places.flatMap((place) => {
    const path = join(directory, place);
    return existsSync(path) ? readdirSync(path).map((name) => `${place}/${name}`) : [];
  });
}

async function drive(client: Client, step: string): Promise<void> {
  const request = { image: 'fake', name: 'victim', mounts: [{ type: 'volume' as const, target: '/data' }] };
  if (step.startsWith('pull')) await attempt(client.createInstance({ image: 'fake', pull: 'always', name: 'victim' }));
  else if (step.startsWith('create') || step.startsWith('start')) {
    await attempt(client.createInstance({ ...request, start: true }));
  } else {
    await client.createInstance({ ...request, start: true });
    if (step.startsWith('stop') || step.startsWith('exit')) await attempt(client.stopInstance('victim'));
    else await attempt(client.removeInstance('victim', { force: true, volumes: true }));
  }
}

for (const step of FAULT_STEPS) {
  test(`killed at ${step}: the bystander runs on, the victim is whole or gone, nothing is left`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'bulkhead-crash-'));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const calm = await engine(t, directory);
    const bystander = await calm.client.createInstance({ image: 'fake', name: 'bystander', start: true });
    calm.child.kill('SIGKILL');
    await once(calm.child, 'exit');

    const first = await engine(t, directory, step);
    const died = once(first.child, 'exit');
    await drive(first.client, step);
    const [, signal] = await died;
    assert.equal(signal, 'SIGKILL', 'the step was never reached');

    const second = await engine(t, directory);
    const [after] = (await second.client.listInstances()).filter((each) => each.name === 'bystander');
    assert.equal(after?.state, 'running');
    assert.equal(after?.startedAt, bystander.startedAt, 'the bystander was restarted');
    assert.equal(after?.restartCount, 0);

    await until('the victim rests', async () => {
      const victim = (await second.client.listInstances({ all: true })).find((each) => each.name === 'victim');
      return !victim || ['pending', 'running', 'stopped', 'failed'].includes(victim.state);
    });
    const victim = (await second.client.listInstances({ all: true })).find((each) => each.name === 'victim');
    if (step.startsWith('stop') || step.startsWith('exit')) assert.equal(victim?.state, 'stopped');
    if (step.startsWith('remove')) assert.equal(victim, undefined, 'the removal was not finished');
    if (step === 'start.running')
      assert.equal(victim?.state, 'running', 'what was stored as running was not taken over');
    if (victim) {
      if (victim.state !== 'running') await second.client.startInstance('victim');
      await second.client.removeInstance('victim', { force: true, volumes: true });
    }
    await second.client.removeInstance('bystander', { force: true });
    assert.deepEqual(leftovers(directory), []);
    second.child.kill('SIGTERM');
    assert.deepEqual(await once(second.child, 'exit'), [0, null]);
  });
}
