/** A task in a microVM: what it says, how it ends, and what outlives an engine. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import test from 'node:test';
import { Bench, processOf } from './bench.ts';

test('output is kept apart byte for byte, and the exit code is the task’s', async (t) => {
  const bench = await Bench.open(t);
  const script = 'printf "a\\000\\377b\\r\\n"; echo err >&2; seq 1 20000; exit 7';
  const { exit, stdout, stderr } = await bench.run(bench.plan([bench.baseLayer()], ['/bin/sh', '-c', script]));
  assert.equal(exit.code, 7);
  assert.equal(exit.oomKilled, false);
  assert.deepEqual(stdout.subarray(0, 6), Buffer.from([0x61, 0, 0xff, 0x62, 0x0d, 0x0a]));
  assert.equal(stdout.subarray(6).toString().trimEnd().split('\n').at(-1), '20000');
  assert.equal(stderr.toString(), 'err\n');
});

test('a command that is not there is told, and nothing is left', async (t) => {
  const bench = await Bench.open(t);
  const plan = bench.plan([bench.baseLayer()], ['/bin/no-such-thing']);
  await assert.rejects(bench.driver.start(plan), { code: 'command_not_found' });
  assert.deepEqual(bench.cgroup.list(), []);
});

test('exec, signals, a new engine: the task notices nothing of the latter', async (t) => {
  const bench = await Bench.open(t);
  const plan = bench.plan([bench.baseLayer()], ['/bin/sh', '-c', 'trap "exit 9" TERM; while :; do sleep 0.1; done']);
  const handle = await bench.driver.start(plan);
  const session = await bench.driver.exec(plan.id, handle, processOf(['/bin/id', '-u'], { user: 'sailor' }));
  assert.equal(await text(session.stdout), '1000\n');
  assert.equal(await session.exit, 0);

  const stats = await bench.driver.stats(plan.id, handle);
  assert.ok(stats.memoryBytes > 32 << 20 && stats.memoryBytes < 600 << 20, `${stats.memoryBytes}`);
  assert.equal(stats.memoryLimitBytes, 256 << 20);
  await bench.driver.update(plan.id, handle, { cpus: 0.5 });
  await assert.rejects(bench.driver.update(plan.id, handle, { memoryBytes: 1 << 30 }), { code: 'not_supported' });

  await bench.forgetDriver();
  assert.equal(await bench.driver.recover(plan.id, handle), 'running');
  await bench.driver.signal(plan.id, handle, 15);
  assert.equal((await bench.driver.wait(plan.id)).code, 9);

  // An engine that died between the exit and its own note of it asks again.
  await bench.forgetDriver();
  assert.equal(await bench.driver.recover(plan.id, handle), 'exited');
  assert.equal((await bench.driver.wait(plan.id)).code, 9);
});

test('a monitor that is killed counts as killed', async (t) => {
  const bench = await Bench.open(t);
  const plan = bench.plan([bench.baseLayer()], ['/bin/sleep', '1000']);
  const _handle = await bench.driver.start(plan);
  for (const pid of bench.cgroup.pids(plan.id)) process.kill(pid, 'SIGKILL');
  assert.equal((await bench.driver.wait(plan.id)).code, 137);
});

test('what a task wrote is there when it starts again and for a copy of the stopped machine', async (t) => {
  const bench = await Bench.open(t);
  const layer = bench.baseLayer();
  const plan = bench.plan([layer], ['/bin/sh', '-c', 'cat /kept || echo first >/kept']);
  await bench.run(plan);
  await bench.driver.release(plan.id);
  const again = await bench.run(plan);
  assert.equal(again.stdout.toString(), 'first\n');
  await bench.driver.release(plan.id);

  const tar = await bench.driver.readArchive(plan, undefined, '/kept');
  assert.match(await text(tar), /kept.*first\n/s);
});

test('an image of many layers, the last on top', async (t) => {
  const bench = await Bench.open(t);
  const layers = [bench.baseLayer()];
  for (let n = 1; n <= 16; n++) layers.push(bench.layer((folder) => writeFileSync(path.join(folder, 'top'), `${n}\n`)));
  const { stdout } = await bench.run(bench.plan(layers, ['/bin/sh', '-c', 'cat /top; echo w >/w && cat /w']));
  assert.equal(stdout.toString(), '16\nw\n');
});

test('shares: directories and single files, with the owners that containers see', async (t) => {
  const bench = await Bench.open(t);
  const folder = path.join(bench.base, 'shared');
  mkdirSync(folder, { mode: 0o777 });
  const file = path.join(bench.base, 'one-file');
  writeFileSync(file, 'alone\n', { mode: 0o644 });
  const script =
    'echo new >/mnt/new && chown 1000:1000 /mnt/new; cat /etc/one; echo x 2>/dev/null >/etc/one || echo refused';
  const mounts = [
    { type: 'bind' as const, source: folder, target: '/mnt', readOnly: false },
    { type: 'bind' as const, source: file, target: '/etc/one', readOnly: true },
  ];
  bench.own(folder);
  const { exit, stdout, stderr } = await bench.run(
    bench.plan([bench.baseLayer()], ['/bin/sh', '-c', script], { mounts }),
  );
  assert.equal(stderr.toString(), '');
  assert.equal(exit.code, 0);
  assert.equal(stdout.toString(), 'alone\nrefused\n');
  assert.equal(readFileSync(path.join(folder, 'new'), 'utf8'), 'new\n');
  assert.equal(bench.insideOwner(path.join(folder, 'new')), 1000);
});
