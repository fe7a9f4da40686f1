/** The state store on a real SQLite file. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { EngineLock, type InstanceRecord, SqliteState } from '@bulkhead/engine';

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'bulkhead-state-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A tmpfs that is gone before its directory is: hooks run in the order they were made. */
function mounted(t: TestContext, options: string): string {
  const path = mkdtempSync(join(tmpdir(), 'bulkhead-state-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path]);
  t.after(() => {
    execFileSync('umount', ['-l', path]);
    rmSync(path, { recursive: true, force: true });
  });
  return path;
}

const instance = (id: string, name: string): InstanceRecord =>
  ({ id: id.padEnd(32, '0'), name, state: 'pending', spec: { labels: {} } }) as unknown as InstanceRecord;

test('records survive a close and are found by id, name and unique prefix', (t) => {
  const file = join(directory(t), 'state.db');
  const first = new SqliteState(file);
  first.putInstance(instance('aa01', 'web'));
  first.putInstance(instance('aa02', 'db'));
  first.close();
  const state = new SqliteState(file);
  t.after(() => state.close());
  assert.equal(state.findInstance('web')?.id, 'aa01'.padEnd(32, '0'));
  assert.equal(state.findInstance('aa02')?.name, 'db');
  assert.equal(state.findInstance('nothing'), undefined);
  assert.throws(() => state.findInstance('aa'), { code: 'ambiguous_reference' });
});

test('a name is taken once; the record that has it may keep it', (t) => {
  const state = new SqliteState(join(directory(t), 'state.db'));
  t.after(() => state.close());
  state.putInstance(instance('aa', 'web'));
  assert.throws(() => state.putInstance(instance('bb', 'web')), { code: 'name_in_use' });
  state.putInstance({ ...instance('aa', 'web'), state: 'stopped' });
  assert.equal(state.listInstances().length, 1);
});

test('a transaction that throws leaves nothing, also from within another', (t) => {
  const state = new SqliteState(join(directory(t), 'state.db'));
  t.after(() => state.close());
  const broken = () =>
    state.transaction(() => {
      state.putInstance(instance('aa', 'web'));
      state.transaction(() => state.putInstance(instance('bb', 'db')));
      throw new Error('no');
    });
  assert.throws(broken, /no/);
  assert.deepEqual(state.listInstances(), []);
});

test('events keep their order and are dropped beyond ten thousand', (t) => {
  const state = new SqliteState(join(directory(t), 'state.db'));
  t.after(() => state.close());
  state.transaction(() => {
    for (let number = 1; number <= 10_250; number++) {
      state.addEvent({ at: number, type: 'instance', action: 'create', id: 'x', attributes: {} });
    }
  });
  const events = state.listEvents({});
  assert.ok(events.length >= 10_000 && events.length <= 10_100, `${events.length} events`);
  assert.equal(events.at(-1)?.seq, 10_250);
  assert.deepEqual(
    state.listEvents({ sinceMs: 10_249, untilMs: 10_249 }).map((event) => event.seq),
    [10_249],
  );
});

test('a full disk is said as such, and what was stored before is still there', (t) => {
  const path = mounted(t, 'size=256k');
  const state = new SqliteState(join(path, 'state.db'));
  state.putInstance(instance('aa', 'kept'));
  const big = { ...instance('bb', 'big'), error: 'x'.repeat(1 << 20) };
  assert.throws(() => state.putInstance(big), { code: 'disk_full' });
  assert.throws(() => state.transaction(() => state.putInstance(big)), { code: 'disk_full' });
  assert.deepEqual(
    state.listInstances().map((record) => record.name),
    ['kept'],
  );
  state.close();
});

test('a read-only data directory is said as such', (t) => {
  const path = mounted(t, 'ro');
  assert.throws(() => new SqliteState(join(path, 'state.db')), { code: 'read_only' });
  assert.throws(() => new EngineLock(path), { code: 'read_only' });
});

test('a database of a newer engine is refused, not changed', (t) => {
  const file = join(directory(t), 'state.db');
  new SqliteState(file).close();
  execFileSync(process.execPath, [
    '-e',
    `new (require('node:sqlite').DatabaseSync)(${JSON.stringify(file)}).exec('PRAGMA user_version = 999')`,
  ]);
  assert.throws(() => new SqliteState(file), /newer engine/);
  assert.ok(existsSync(file));
});

test('one engine per data directory; the lock goes with its holder', (t) => {
  const path = directory(t);
  const lock = new EngineLock(path);
  const attempt = `import('@bulkhead/engine').then(({ EngineLock }) => { new EngineLock(${JSON.stringify(path)}); process.exit(0) }, () => 0).catch((e) => { console.error(e.code); process.exit(3) })`;
  assert.throws(() => new EngineLock(path), { code: 'in_use' });
  assert.throws(
    () =>
      execFileSync(process.execPath, ['--input-type=module', '-e', attempt], {
        stdio: 'pipe',
        cwd: import.meta.dirname,
      }),
    /in_use/,
  );
  lock.release();
  execFileSync(process.execPath, ['--input-type=module', '-e', attempt], { stdio: 'pipe', cwd: import.meta.dirname });
  new EngineLock(path).release();
});
