/** Small things people know from Docker and reach for without thinking. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Engine, loadBusybox } from './harness.ts';

const LEVELS = (process.env.BULKHEAD_TEST_LEVELS ?? 'container,gvisor,microvm').split(',');

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < 100; round++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`never: ${what}`);
}

describe('as in Docker', () => {
  let engine: Engine;
  before(async () => {
    engine = await Engine.start();
    await loadBusybox(engine, { name: 'box' });
  });
  after(() => engine.dispose());

  for (const level of LEVELS) {
    it(`top shows what runs inside, exec -d leaves it running, at level ${level}`, { timeout: 120_000 }, async () => {
      await engine.ok('run', '-d', '--name', 'busy', '--isolation', level, 'box', 'sh', '-c', 'sleep 301 & sleep 302');
      const detached = await engine.bh(['exec', '-d', 'busy', 'sh', '-c', 'echo written >/made; sleep 303']);
      assert.deepEqual([detached.code, detached.stdout], [0, '']);
      await until(
        'the detached command has run',
        async () => (await engine.bh(['exec', 'busy', 'cat', '/made'])).code === 0,
      );
      const [titles, ...rows] = (await engine.ok('top', 'busy')).split('\n');
      assert.match(titles ?? '', /^USER +PID +PPID +STAT +RSS +COMMAND$/);
      for (const seconds of [301, 302, 303])
        assert.equal(
          rows.filter((row) => row.endsWith(`sleep ${seconds}`) && /^\S+ +\d+/.test(row)).length,
          1,
          rows.join('\n'),
        );
      assert.ok(!rows.some((row) => row.includes('busybox ps')), 'it does not show itself');
      const parsed = (await engine.ok('top', '--format', 'json', 'busy')).split('\n').map((row) => JSON.parse(row));
      assert.ok(parsed.some((row) => row.pid === '1'));
      await engine.ok('rm', '-f', 'busy');
      const gone = await engine.bh(['top', 'busy']);
      assert.equal(gone.code, 1);
    });
  }

  it('stop -s sends another signal', async () => {
    const trap =
      'trap "echo got usr1; exit 7" USR1; trap "echo got term; exit 8" TERM; echo ready; while :; do sleep 0.05; done';
    await engine.ok('run', '-d', '--name', 'trapped', 'box', 'sh', '-c', trap);
    await until('it is ready', async () => (await engine.ok('logs', 'trapped')).includes('ready'));
    await engine.ok('stop', '-s', 'USR1', '-t', '5', 'trapped');
    assert.equal(await engine.ok('logs', 'trapped'), 'ready\ngot usr1');
    const wrong = await engine.bh(['stop', '-s', 'NOSUCH', 'trapped']);
    assert.notEqual(wrong.code, 0);
    assert.match(wrong.stderr, /NOSUCH/);
    await engine.ok('rm', 'trapped');
  });

  it('run -a connects only the streams named', async () => {
    const both = ['run', '--rm', 'box', 'sh', '-c', 'echo out; echo err >&2'];
    const only = async (...streams: string[]) => {
      const flags = streams.flatMap((stream) => ['-a', stream]);
      const { code, stdout, stderr } = await engine.bh([both[0]!, ...flags, ...both.slice(1)]);
      return [code, stdout, stderr];
    };
    assert.deepEqual(await only(), [0, 'out\n', 'err\n']);
    assert.deepEqual(await only('stdout'), [0, 'out\n', '']);
    assert.deepEqual(await only('stderr'), [0, '', 'err\n']);
    const fed = await engine.bh(['run', '--rm', '-a', 'stdin', '-a', 'stdout', 'box', 'cat'], { input: 'fed' });
    assert.deepEqual([fed.code, fed.stdout], [0, 'fed']);
  });

  it('-it without a terminal ends with 1 and creates nothing', async () => {
    const refused = await engine.bh(['run', '-it', '--name', 'never', 'box', 'sh'], { input: 'x' });
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /the input device is not a TTY/);
    assert.equal((await engine.bh(['inspect', 'never'])).code, 1);
  });

  it('start -a shows this run, not those before', async () => {
    await engine.ok('run', '--name', 'again', 'box', 'sh', '-c', 'cat /count 2>/dev/null; echo run >>/count');
    const second = await engine.bh(['start', '-a', 'again']);
    assert.deepEqual([second.code, second.stdout], [0, 'run\n']);
    const third = await engine.bh(['start', '-a', 'again']);
    assert.deepEqual([third.code, third.stdout], [0, 'run\nrun\n']);
    await engine.ok('rm', 'again');
  });

  it('prune says what it freed', async () => {
    await engine.ok('run', '--name', 'fat', 'box', 'dd', 'if=/dev/zero', 'of=/fat', 'bs=1M', 'count=20');
    const id = JSON.parse(await engine.ok('inspect', 'fat'))[0].summary.id;
    const said = await engine.ok('prune', '-f');
    const [, amount] = /reclaimed space: ([\d.]+)MB/.exec(said) ?? [];
    assert.ok(Number(amount) >= 20 && Number(amount) < 30, said);
    assert.ok(!existsSync(path.join(engine.data, 'instances', id)));
  });

  it('what would have no effect is refused by name', async () => {
    for (const [flags, says] of [
      [['--privileged'], /privileged mode is not supported/],
      [['--device', '/dev/fuse'], /the device "\/dev\/fuse" is not supported/],
      [['--network', 'host'], /the host's own network is not supported/],
      [['--isolation', 'vm'], /whole machines are not part of this version/],
    ] as const) {
      const refused = await engine.bh(['run', '--rm', ...flags, 'box', 'true']);
      assert.equal(refused.code, 125);
      assert.match(refused.stderr, says);
      assert.match(refused.stderr, /hint: /);
    }
    assert.equal(await engine.ok('ps', '-aq'), '');
  });
});
