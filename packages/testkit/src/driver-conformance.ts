/** What every Driver promises, whatever holds the task: the life of a run and what is left of it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import type { Driver, ProcessSpec, StartPlan } from '@bulkhead/engine/ports/driver';

export interface DriverSubject {
  driver: Driver;
  /** Tasks under a fresh id each: one that ends with exit code 7, one that runs on, one whose command is not there. */
  plan(task: 'ends' | 'runs' | 'missing'): StartPlan;
  /** Arguments of commands that end with exit code 3, print `hello`, and repeat their input. */
  commands: { ends: string[]; hello: string[]; repeats: string[] };
}

const processOf = (args: string[], stdin = false): ProcessSpec => ({
  args,
  env: ['PATH=/bin'],
  cwd: '/',
  user: '',
  groupAdd: [],
  tty: false,
  stdin,
});

/** `make` gives one subject for the whole suite and takes it away with `t.after`. */
export function driverConformance(
  name: string,
  make: (t: TestContext) => DriverSubject | Promise<DriverSubject>,
): void {
  test(`${name} keeps the promises of a driver`, async (t) => {
    const { driver, plan, commands } = await make(t);
    const found = async (id: string): Promise<boolean> => (await driver.leftovers()).includes(id);

    await t.test('it tells its level and what holds it', async () => {
      const print = await driver.fingerprint();
      assert.equal(print.level, driver.level);
      assert.ok(print.available, print.reason);
      assert.notEqual(print.holds, '');
    });

    await t.test('a task ends with its own code; who asks late or twice hears the same; it can run again', async () => {
      const task = plan('ends');
      const handle = await driver.start(task);
      const exit = await driver.wait(task.id, handle);
      assert.deepEqual([exit.code, exit.oomKilled], [7, false]);
      assert.ok(Math.abs(exit.at - Date.now()) < 60_000, 'its end is in Unix milliseconds');
      assert.equal((await driver.wait(task.id, handle)).code, 7);
      assert.equal(await driver.recover(task.id, handle), 'exited');
      assert.equal(await driver.recover(task.id, undefined), 'exited');
      await driver.release(task.id);
      assert.equal(await driver.recover(task.id, handle), 'lost');
      assert.equal((await driver.wait(task.id, await driver.start(task))).code, 7);
      await driver.destroy(task.id);
      assert.ok(!(await found(task.id)));
    });

    await t.test('a running task is recovered, measured, entered, and killed by a signal', async () => {
      const task = plan('runs');
      const handle = await driver.start(task);
      assert.equal(typeof JSON.parse(handle).version, 'number', 'a handle is versioned JSON');
      assert.equal(await driver.recover(task.id, handle), 'running');
      assert.ok(await found(task.id));
      const stats = await driver.stats(task.id, handle);
      assert.ok(
        Object.values(stats).every((value) => Number.isFinite(value) && value >= 0),
        JSON.stringify(stats),
      );
      assert.ok(Object.values(await driver.inspect(task.id, handle)).every((fact) => typeof fact === 'string'));

      const hello = await driver.exec(task.id, handle, processOf(commands.hello));
      assert.deepEqual(await Promise.all([text(hello.stdout), text(hello.stderr), hello.exit]), ['hello\n', '', 0]);
      assert.equal(await (await driver.exec(task.id, handle, processOf(commands.ends))).exit, 3);
      const repeats = await driver.exec(task.id, handle, processOf(commands.repeats, true));
      repeats.stdin.end('to and fro');
      assert.equal(await text(repeats.stdout), 'to and fro');

      const waiting = driver.wait(task.id, handle);
      await driver.signal(task.id, handle, 9);
      assert.equal((await waiting).code, 137);
      assert.equal(await driver.recover(task.id, handle), 'exited');
      await driver.destroy(task.id);
      assert.ok(!(await found(task.id)));
    });

    await t.test('a start that fails says why and leaves no run behind', async () => {
      const task = plan('missing');
      await assert.rejects(driver.start(task), { code: 'command_not_found' });
      assert.equal(await driver.recover(task.id, undefined), 'lost');
      await driver.destroy(task.id);
      assert.ok(!(await found(task.id)));
    });

    await t.test(
      'release keeps what was written until destroy; both may be called again, also on nothing',
      async () => {
        const task = plan('runs');
        await driver.start(task);
        for (const _time of [1, 2]) await driver.release(task.id);
        assert.ok(await found(task.id));
        for (const _time of [1, 2]) await driver.destroy(task.id);
        assert.ok(!(await found(task.id)));
        const nobody = randomBytes(16).toString('hex');
        await driver.release(nobody);
        await driver.destroy(nobody);
      },
    );
  });
}
