/** Where a task's data is: a writable layer of a given size, volumes that every level sees alike. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Engine, loadBusybox } from './harness.ts';

const LEVELS = (process.env.BULKHEAD_TEST_LEVELS ?? 'container,gvisor').split(',');
const FILL = 'dd if=/dev/zero of=/all bs=1M count=100 2>&1 | grep -o "No space left on device"; stat -c %s /all';
/** The file system's own tables take the rest. */
const full = (output: string): boolean => {
  const [reason, size] = output.trim().split('\n');
  return reason === 'No space left on device' && Number(size) > 50 << 20 && Number(size) <= 64 << 20;
};

describe('what a task stores', () => {
  let engine: Engine;
  before(async () => {
    engine = await Engine.start();
    await loadBusybox(engine, { name: 'box' });
  });
  after(() => engine.dispose());

  const traces = (): string[] => {
    const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
    const loops = spawnSync('losetup', ['--list', '--noheadings'], { encoding: 'utf8' }).stdout.split('\n');
    return [
      ...mounts.filter((line) => line.includes(`${engine.run}/instances`)),
      ...loops.filter((line) => line.includes(`${engine.data}/instances`)),
      // An instance kept ready for a next start has a log of its own, and no more.
      ...readdirSync(path.join(engine.data, 'instances'), { recursive: true, encoding: 'utf8' }).filter((file) =>
        /\/(writable|disk|upper|work)/.test(file),
      ),
    ];
  };

  for (const level of LEVELS) {
    const limited = ['--isolation', level, '--storage-opt', 'size=64m'];

    it(`ends at its size, not at the host's, and leaves nothing, at level ${level}`, async () => {
      const done = await engine.bh(['run', '--rm', ...limited, 'box', 'sh', '-c', FILL]);
      assert.ok(full(done.stdout), done.stdout + done.stderr);
      assert.deepEqual(traces(), []);
      const refused = await engine.bh(['run', '--rm', '--isolation', level, '--storage-opt', 'size=1m', 'box', 'true']);
      assert.equal(refused.code, 125);
      assert.match(refused.stderr, /too small/);
      assert.deepEqual(traces(), []);
    });

    it(`keeps what was written from run to run and through cp, with its limit, at level ${level}`, async () => {
      const id = await engine.ok('create', ...limited, '-v', '/seeded', 'box', 'sh', '-c', 'cat /mark; echo x >>/mark');
      assert.equal((await engine.bh(['start', '-a', id])).code, 0);
      await engine.ok('restart', id);
      await engine.ok('wait', id);
      assert.equal(await engine.ok('logs', id), 'x');
      if (level !== 'microvm') {
        assert.equal((await engine.bh(['cp', `${id}:/mark`, path.join(engine.folder, 'mark')])).code, 0);
        assert.equal(readFileSync(path.join(engine.folder, 'mark'), 'utf8'), 'x\nx\n');
        assert.ok(existsSync(path.join(engine.data, 'instances', id, 'writable.ext4')));
        assert.ok(!existsSync(path.join(engine.data, 'instances', id, 'upper')));
      }
      await engine.ok('rm', '-v', id);
      assert.deepEqual(traces(), []);
    });

    it(`survives an engine that was killed, and goes when it is removed, at level ${level}`, async () => {
      const id = await engine.ok('run', '-d', ...limited, 'box', 'sh', '-c', 'echo before >/mark; sleep 1000');
      const gone = await engine.ok('run', '-d', ...limited, 'box', 'sleep', '1000');
      await engine.crash();
      await engine.boot();
      assert.equal(await engine.ok('exec', id, 'cat', '/mark'), 'before');
      assert.ok(full((await engine.bh(['exec', id, 'sh', '-c', FILL])).stdout));
      await engine.ok('rm', '-f', gone, id);
      assert.deepEqual(traces(), []);
    });
  }

  it(`a volume shows the same owners at every level: ${LEVELS.join(', ')}`, async () => {
    const look = 'cd /data; for f in *; do echo $f $(stat -c "%u:%g %a" $f) $(cat $f); done';
    for (const level of LEVELS)
      await engine.ok(
        ...['run', '--rm', '--isolation', level, '-v', 'common:/data', 'box', 'sh', '-c'],
        `for u in 0 1000 65534; do echo ${level} >/data/${level}-$u; chown $u:$u /data/${level}-$u; chmod 640 /data/${level}-$u; done`,
      );
    const expected = LEVELS.flatMap((level) => [0, 1000, 65534].map((u) => `${level}-${u} ${u}:${u} 640 ${level}`));
    for (const level of LEVELS) {
      const seen = await engine.ok('run', '--rm', '--isolation', level, '-v', 'common:/data', 'box', 'sh', '-c', look);
      assert.deepEqual(seen.split('\n').sort(), expected.sort(), level);
    }
    await engine.ok('volume', 'rm', 'common');
  });
});
