/** The engine is killed at every named step: no task notices, nothing acknowledged is lost, nothing leaks. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FAULT_STEPS, IMAGE_FAULT_STEPS } from '@bulkhead/engine';
import { startRegistry } from '../../../engine/test/images/registry.ts';
import type { Engine } from './harness.ts';
import { assertUndisturbed, assertWholeLog, type Facts, facts, startSteady } from './steady.ts';
import { HostState, traces } from './traces.ts';

const LEVELS = (process.env.BULKHEAD_TEST_LEVELS ?? 'container,gvisor,microvm').split(',');

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');
const listed = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);

const ID = /[0-9a-f]{32}/;

/** Where this host has something of which instance. Those on standby are none: their FIFO is still there. */
function places(engine: Engine): Map<string, string[]> {
  const processes = lines(spawnSync('ps', ['-eo', 'args='], { encoding: 'utf8' }).stdout)
    // A name server has the id of its network.
    .filter((line) => line.includes(engine.run) && !line.startsWith('dnsmasq'))
    .map((line) => `process ${line.slice(0, 300)}`);
  const mounts = lines(readFileSync('/proc/self/mounts', 'utf8'))
    .filter((line) => line.includes(engine.folder))
    .map((line) => `mount ${line.split(' ')[1]}`);
  const folders = [
    ...['instances', 'persist', 'exits', 'attach', 'pids', 'crun', 'runsc'].map((name) => path.join(engine.run, name)),
    path.join(engine.data, 'instances'),
  ].flatMap((folder) => listed(folder).map((name) => path.join(folder, name)));
  const groups = globSync(`/sys/fs/cgroup/{,*/}bulkhead-${engine.tag}/*/`);
  const found = new Map<string, string[]>();
  for (const place of [...processes, ...mounts, ...folders, ...groups]) {
    const id = ID.exec(place)?.[0];
    if (id === undefined || existsSync(path.join(engine.run, 'instances', id, 'standby'))) continue;
    found.set(id, [...(found.get(id) ?? []), place]);
  }
  return found;
}

/** Host ports of published instances in the engine's firewall. */
function publishedPorts(engine: Engine): number {
  const table = spawnSync('nft', ['list', 'table', 'inet', `bulkhead_${engine.tag}`], { encoding: 'utf8' }).stdout;
  return (table.match(/\d+\.\d+\.\d+\.\d+ \. \d+/g) ?? []).length;
}

/** Everything of `wanted` is there, and nothing of anybody else but what `maybe` has kept. */
async function settled(engine: Engine, wanted: string[], maybe?: string): Promise<void> {
  const strange = (): string[] =>
    [...places(engine)].flatMap(([id, where]) => (wanted.includes(id) || id === maybe ? [] : where));
  for (let round = 0; round < 50 && strange().length > 0; round++) await sleep(100);
  assert.deepEqual(strange(), [], 'left behind');
  for (const id of wanted) assert.ok(places(engine).has(id), `nothing is left of ${id}`);
}

for (const level of LEVELS) {
  describe(`killing the engine with tasks at level ${level}`, () => {
    let engine: Engine;
    let steady: Facts;
    let host: HostState;
    before(async () => {
      ({ engine, steady } = await startSteady(level));
      // The volume is kept from step to step.
      await engine.ok('run', '--rm', '-v', 'kept:/data', 'box', 'true');
      host = await HostState.take(engine, [steady.id]);
    });
    after(async () => {
      await engine?.dispose();
      assert.deepEqual(traces(engine), [], 'what a purge leaves');
    });

    const run = ['run', '-d', '--name', 'victim', '--isolation', level, '-v', 'kept:/data', '-p', '127.0.0.1:0:80'];
    const long = [...run, 'box', 'sleep', '300'];

    /** Brings the victim there while no fault waits; boots of the stronger levels are dear, so it is kept where it fits. */
    async function ensure(wanted: 'absent' | 'running' | 'stopped'): Promise<void> {
      const now = await facts(engine, 'victim');
      if (now && (wanted === 'absent' || now.state === 'pending' || now.state === 'failed'))
        await engine.ok('rm', '-f', 'victim');
      if (wanted === 'absent') return;
      const there = await facts(engine, 'victim');
      if (there?.state === wanted) return;
      if (wanted === 'running') await engine.ok(...(there ? ['start', 'victim'] : long));
      else if (there) await engine.ok('stop', '-t', '0', 'victim');
      else await engine.ok(...run, 'box', 'true');
      for (let round = 0; wanted === 'stopped' && (await facts(engine, 'victim'))?.state !== 'stopped'; round++) {
        assert.ok(round < 100, 'the victim does not end');
        await sleep(100);
      }
    }

    /** What must be so before, what provokes the step, and what may be true of the victim afterwards. */
    function plan(step: string): {
      from: 'absent' | 'running' | 'stopped';
      command: string[];
      to: (string | undefined)[];
    } {
      if (step === 'create.resolved') return { from: 'absent', command: long, to: [undefined] };
      if (step === 'start.running') return { from: 'absent', command: long, to: ['running'] };
      if (step.startsWith('create') || step.startsWith('start'))
        return { from: 'absent', command: long, to: ['failed', 'pending', 'stopped'] };
      if (step.startsWith('stop') || step.startsWith('exit'))
        return { from: 'running', command: ['stop', '-t', '0', 'victim'], to: ['stopped'] };
      return { from: 'stopped', command: ['rm', 'victim'], to: [undefined] };
    }

    for (const step of FAULT_STEPS.filter((each) => !each.startsWith('pull'))) {
      it(`at ${step} leaves running tasks alone and nothing half done`, { timeout: 120_000 }, async () => {
        const { from, command, to } = plan(step);
        await ensure(from);
        await engine.crash();
        await engine.boot({ BULKHEAD_FAULT: step });
        const answer = await engine.bh(command, { timeoutMs: 60_000 });
        for (let round = 0; round < 100 && !engine.killed; round++) await sleep(50);
        assert.ok(engine.killed, `the step was never reached: ${answer.stderr}`);

        await engine.boot();
        await assertUndisturbed(engine, steady);
        let victim = await facts(engine, 'victim');
        for (let round = 0; round < 100 && !to.includes(victim?.state); round++) {
          await sleep(100);
          victim = await facts(engine, 'victim');
        }
        assert.ok(to.includes(victim?.state), `the victim is ${victim?.state}`);
        if (answer.code === 0 && command[0] === 'run')
          assert.equal(victim?.id, answer.stdout.trim(), 'an acknowledged id');
        if (answer.code === 0 && command[0] === 'rm') assert.equal(victim, undefined, 'removed, and there again');
        await settled(engine, [steady.id], victim?.id);
        if (victim?.state !== 'running') assert.equal(publishedPorts(engine), 0, 'a port is still published');
      });
    }

    it('at none of them loses a line of a log, and what is removed leaves nothing', async () => {
      await assertWholeLog(engine);
      await ensure('absent');
      await settled(engine, [steady.id]);
      await host.assertSame();
      await assertUndisturbed(engine, steady);
    });
  });
}

describe('killing the engine in a pull', () => {
  it('keeps the image whole or absent at each step, and the next pull succeeds', { timeout: 180_000 }, async (t) => {
    const { engine } = await startSteady('container');
    t.after(() => engine.dispose());
    const name = `${await startRegistry(t)}/box:1`;
    await engine.ok('tag', 'box', name);
    await engine.ok('push', name);
    await engine.ok('rm', '-f', 'steady');
    await engine.ok('rmi', '-f', name, 'box');
    const host = await HostState.take(engine, []);
    for (const step of ['pull.begun', ...IMAGE_FAULT_STEPS, 'pull.done']) {
      await engine.bh(['rmi', '-f', name]);
      await engine.bh(['rmi', '-f', 'box']);
      assert.deepEqual(readdirSync(path.join(engine.data, 'layers')), [], 'the layer is gone before');
      await engine.crash();
      await engine.boot({ BULKHEAD_FAULT: step });
      const answer = await engine.bh(['pull', '-q', name]);
      assert.ok(engine.killed, `${step} was never reached: ${answer.stderr}`);
      assert.notEqual(answer.code, 0, 'nothing is acknowledged that did not happen');
      await engine.boot();
      assert.deepEqual(listed(path.join(engine.data, 'tmp', 'images')), [], step);
      const partial = readdirSync(path.join(engine.data, 'layers')).filter((file) => !file.endsWith('.sqfs'));
      assert.deepEqual(partial, [], `${step}: half a layer`);
      const stored = step === 'image.stored' || step === 'pull.done';
      assert.equal((await engine.bh(['image', 'inspect', name])).code === 0, stored, step);
      await engine.ok('pull', '-q', name);
      assert.equal(await engine.ok('run', '--rm', name, 'echo', step), step);
    }
    await engine.ok('rmi', '-f', name);
    await host.assertSame();
  });
});
