/** One suite of behaviours for all levels: from one image, by one command, the same result. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Engine, loadBusybox } from './harness.ts';

const ONLY = process.env.BULKHEAD_TEST_LEVELS?.split(',');
const LEVELS = ['container', 'gvisor', 'microvm'].filter((level) => ONLY === undefined || ONLY.includes(level));

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what: string, condition: () => Promise<boolean>, limitMs = 20_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(100);
  }
}

describe('one image, one set of behaviours', () => {
  let engine: Engine;
  before(async () => {
    engine = await Engine.start();
    await loadBusybox(engine, {
      name: 'box',
      cmd: ['sh'],
      env: ['PATH=/bin', 'FROM_IMAGE=yes'],
      labels: { made: 'for-tests' },
    });
    await loadBusybox(engine, {
      name: 'entry',
      entrypoint: ['echo', 'entry'],
      cmd: ['default'],
      workdir: '/var/empty',
      user: 'alice',
    });
  });
  after(() => engine.dispose());

  for (const level of LEVELS) {
    describe(`level ${level}`, () => {
      /** `run --rm` at this level. */
      const run = (args: string[], options = {}) =>
        engine.bh(['run', '--rm', '--isolation', level, ...args], { timeoutMs: 90_000, ...options });
      const detached = async (...args: string[]): Promise<string> =>
        (await engine.ok('run', '-d', '--isolation', level, ...args)).trim();
      const state = async (id: string) => JSON.parse(await engine.ok('inspect', id))[0].summary;

      it('runs the image’s entrypoint and cmd as its user in its working directory', async () => {
        assert.equal((await run(['entry'])).stdout, 'entry default\n');
        assert.equal((await run(['entry', 'other'])).stdout, 'entry other\n');
        assert.equal((await run(['--entrypoint', 'sh', 'entry', '-c', 'id -un; pwd'])).stdout, 'alice\n/var/empty\n');
      });

      it('passes env, workdir, hostname and user names', async () => {
        const done = await run([
          '-e',
          'MINE=1',
          '-w',
          '/made/here',
          '-h',
          'ship',
          '-u',
          'alice:staff',
          'box',
          'sh',
          '-c',
          'echo $FROM_IMAGE $MINE; pwd; hostname; id -un; id -gn',
        ]);
        assert.equal(done.stdout, 'yes 1\n/made/here\nship\nalice\nstaff\n', done.stderr);
      });

      it('keeps stdout and stderr apart and passes every byte', async () => {
        const done = await run(['box', 'sh', '-c', 'printf "a\\0b\\377\\n\\nend"; printf "oops" >&2']);
        assert.deepEqual(done.bytes, Buffer.from([0x61, 0, 0x62, 0xff, 0x0a, 0x0a, 0x65, 0x6e, 0x64]));
        assert.equal(done.stderr, 'oops');
      });

      it('passes stdin byte for byte up to its end', async () => {
        const input = Buffer.from(Array.from({ length: 200_000 }, (_, index) => index % 256));
        const done = await run(['-i', 'box', 'sh', '-c', 'wc -c; echo done'], { input });
        assert.equal(done.stdout.trim().replace(/\s+/g, ' '), '200000 done', done.stderr);
        const echo = await run(['-i', 'box', 'cat'], { input });
        assert.ok(echo.bytes.equals(input), `cat gave back ${echo.bytes.length} bytes, not the same ${input.length}`);
      });

      it('tells exit codes, signals, and commands that are not there or not executable', async () => {
        assert.equal((await run(['box', 'sh', '-c', 'exit 42'])).code, 42);
        // PID 1 is deaf to signals it does not handle; behind an init the shell is not PID 1.
        assert.equal((await run(['--init', 'box', 'sh', '-c', 'kill -TERM $$'])).code, 143);
        const missing = await run(['box', 'no-such-command']);
        assert.equal(missing.code, 127, missing.stderr);
        assert.match(missing.stderr, /no-such-command/);
        assert.equal((await run(['box', '/etc/passwd'])).code, 126);
      });

      it('gives a task its own hosts, resolv.conf and a tmpfs, and a read-only root on request', async () => {
        const done = await run([
          '--tmpfs',
          '/scratch:size=1m',
          '--read-only',
          '-h',
          'me',
          'box',
          'sh',
          '-c',
          'grep -c me /etc/hosts; grep -c nameserver /etc/resolv.conf; touch /x 2>/dev/null || echo ro; touch /scratch/x && echo rw; df -k /scratch | tail -1 | awk "{print \\$2}"',
        ]);
        assert.equal(done.stdout, '1\n1\nro\nrw\n1024\n', done.stderr);
      });

      it('executes a second process with its own user, env and directory', async (t) => {
        const id = await detached('box', 'sleep', '300');
        t.after(() => engine.bh(['rm', '-f', id]));
        assert.equal(
          await engine.ok('exec', '-u', 'alice', '-e', 'A=b', '-w', '/tmp', id, 'sh', '-c', 'id -un; echo $A; pwd'),
          'alice\nb\n/tmp',
        );
        assert.equal((await engine.bh(['exec', '-i', id, 'cat'], { input: 'through' })).stdout, 'through');
        assert.equal((await engine.bh(['exec', id, 'sh', '-c', 'exit 7'])).code, 7);
        assert.equal((await engine.bh(['exec', id, 'nope'])).code, 127);
        const both = await engine.bh(['exec', id, 'sh', '-c', 'echo out; echo err >&2']);
        assert.deepEqual([both.stdout, both.stderr], ['out\n', 'err\n']);
      });

      it('gives a real terminal to run and exec', async (t) => {
        const id = await detached('-t', 'box', 'sh', '-c', 'test -t 0 && test -t 1 && echo a terminal; sleep 300');
        t.after(() => engine.bh(['rm', '-f', id]));
        await until('the task has a terminal', async () => (await engine.ok('logs', id)).includes('a terminal'));
      });

      it('stops by the stop signal, and by SIGKILL after the timeout', async (t) => {
        const polite = await detached(
          'box',
          'sh',
          '-c',
          'trap "echo bye; exit 3" TERM; echo ready; while :; do sleep 0.1; done',
        );
        const deaf = await detached('box', 'sh', '-c', 'trap "" TERM; echo ready; while :; do sleep 0.1; done');
        t.after(() => engine.bh(['rm', '-f', polite, deaf]));
        for (const id of [polite, deaf])
          await until('ready', async () => (await engine.ok('logs', id)).includes('ready'));
        await engine.ok('stop', polite);
        assert.equal((await state(polite)).exitCode, 3);
        assert.match(await engine.ok('logs', polite), /bye/);
        const started = Date.now();
        await engine.ok('stop', '-t', '1', deaf);
        assert.equal((await state(deaf)).exitCode, 137);
        assert.ok(Date.now() - started < 15_000);
      });

      it('kills with a named signal, waits, restarts and removes', async (t) => {
        const id = await detached('box', 'sh', '-c', 'trap "exit 5" USR1; echo ready; while :; do sleep 0.1; done');
        t.after(() => engine.bh(['rm', '-f', id]));
        await until('ready', async () => (await engine.ok('logs', id)).includes('ready'));
        const waiting = engine.ok('wait', id);
        await engine.ok('kill', '-s', 'USR1', id);
        assert.equal(await waiting, '5');
        await engine.ok('start', id);
        await until('running again', async () => (await state(id)).state === 'running');
        assert.equal((await engine.bh(['rm', id])).code, 1);
        await engine.ok('rm', '-f', id);
        assert.notEqual((await engine.bh(['inspect', id])).code, 0);
      });

      it('is honest about a task that ran out of memory', async (t) => {
        const id = await detached('-m', '160m', 'box', 'sh', '-c', 'x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done');
        t.after(() => engine.bh(['rm', '-f', id]));
        await engine.bh(['wait', id], { timeoutMs: 80_000 });
        const { exitCode, oomKilled } = await state(id);
        assert.deepEqual({ exitCode, oomKilled }, { exitCode: 137, oomKilled: true });
      });

      it('limits the number of processes', async () => {
        const done = await run(
          [
            '--pids-limit',
            '30',
            'box',
            'sh',
            '-c',
            'i=0; while [ $i -lt 200 ]; do sleep 5 & i=$((i+1)); done; echo all',
          ],
          { timeoutMs: 60_000 },
        );
        assert.ok(
          !done.stdout.includes('all') || /fork|temporarily|resource/i.test(done.stderr),
          `200 processes were made: ${done.stdout} ${done.stderr}`,
        );
      });

      it('keeps what a task writes into a volume or bind for the next, and keeps read-only ones as they are', async (t) => {
        const folder = path.join(engine.folder, `bind-${level}`);
        mkdirSync(folder);
        writeFileSync(path.join(folder, 'given'), 'host\n');
        await engine.ok('volume', 'create', `v-${level}`);
        t.after(async () => {
          await engine.bh(['volume', 'rm', `v-${level}`]);
          rmSync(folder, { recursive: true, force: true });
        });
        const first = await run([
          '-v',
          `v-${level}:/data`,
          '-v',
          `${folder}:/host:ro`,
          'box',
          'sh',
          '-c',
          'echo kept >/data/file; chown alice /data/file; cat /host/given; touch /host/x 2>/dev/null || echo ro',
        ]);
        assert.equal(first.stdout, 'host\nro\n', first.stderr);
        const second = await run([
          '-v',
          `v-${level}:/data`,
          'box',
          'sh',
          '-c',
          'cat /data/file; stat -c %U /data/file',
        ]);
        assert.equal(second.stdout, 'kept\nalice\n', second.stderr);
        // The same volume at the weakest level: ownership and content are the same.
        const weakest = await engine.bh([
          'run',
          '--rm',
          '-v',
          `v-${level}:/data`,
          'box',
          'sh',
          '-c',
          'cat /data/file; stat -c %U /data/file',
        ]);
        assert.equal(weakest.stdout, 'kept\nalice\n', weakest.stderr);
      });

      it('publishes TCP and UDP ports on the host', async (t) => {
        const tcp = await detached(
          '-p',
          '127.0.0.1:0:80',
          '-p',
          '127.0.0.1:0:90/udp',
          'box',
          'sh',
          '-c',
          'echo ready; (while :; do echo hello | nc -l -p 80; done) & while :; do echo pong | nc -u -l -p 90 -w 1; done',
        );
        t.after(() => engine.bh(['rm', '-f', tcp]));
        await until('ready', async () => (await engine.ok('logs', tcp)).includes('ready'));
        const port = (await state(tcp)).ports.find((mapping: { port: number }) => mapping.port === 80).hostPort;
        await until(
          'the port answers',
          async () =>
            spawnSync('/bin/busybox', ['nc', '-w', '2', '127.0.0.1', String(port)], { encoding: 'utf8', input: '' })
              .stdout === 'hello\n',
        );
      });

      it('lets instances of one network reach each other by name, and others not', async (t) => {
        await engine.ok('network', 'create', `n-${level}`);
        const server = await detached(
          '--name',
          `web-${level}`,
          '--network',
          `n-${level}`,
          'box',
          'sh',
          '-c',
          'echo ready; while :; do echo found | nc -l -p 8000; done',
        );
        t.after(async () => {
          await engine.bh(['rm', '-f', server]);
          await engine.bh(['network', 'rm', `n-${level}`]);
        });
        await until('ready', async () => (await engine.ok('logs', server)).includes('ready'));
        const member = await run([
          '--network',
          `n-${level}`,
          'box',
          'sh',
          '-c',
          `nc -w 5 web-${level} 8000 </dev/null`,
        ]);
        assert.equal(member.stdout, 'found\n', member.stderr);
        const stranger = await run([
          'box',
          'sh',
          '-c',
          `nc -w 2 ${(await state(server)).ip} 8000 </dev/null || echo unreachable`,
        ]);
        assert.equal(stranger.stdout, 'unreachable\n');
        const alone = await run(['--network', 'none', 'box', 'sh', '-c', 'ip -o -4 addr | grep -vc " lo " || true']);
        assert.equal(alone.stdout.trim(), '0', alone.stderr);
      });

      it('restarts what fails, with backoff, as often as it was told', async (t) => {
        const id = await detached('--restart', 'on-failure:2', 'box', 'sh', '-c', 'echo try; exit 9');
        t.after(() => engine.bh(['rm', '-f', id]));
        await until(
          'it gave up',
          async () => {
            const now = await state(id);
            return (
              now.restartCount === 2 &&
              now.state !== 'running' &&
              now.exitCode === 9 &&
              (await engine.ok('logs', id)).split('try').length === 4
            );
          },
          60_000,
        );
      });

      it('reports health', async (t) => {
        const id = await detached(
          '--health-cmd',
          'test -f /tmp/ok',
          '--health-interval',
          '300ms',
          '--health-retries',
          '2',
          'box',
          'sh',
          '-c',
          'sleep 2; touch /tmp/ok; sleep 300',
        );
        t.after(() => engine.bh(['rm', '-f', id]));
        await until('healthy', async () => (await state(id)).health === 'healthy', 40_000);
        await engine.ok('exec', id, 'rm', '/tmp/ok');
        await until('unhealthy', async () => (await state(id)).health === 'unhealthy', 40_000);
      });

      it('answers logs by tail, since and timestamps, and follows to the end', async (t) => {
        const id = await detached('box', 'sh', '-c', 'for i in 1 2 3; do echo line $i; done; sleep 2; echo last');
        t.after(() => engine.bh(['rm', '-f', id]));
        const followed = engine.ok('logs', '-f', id);
        assert.equal(await followed, 'line 1\nline 2\nline 3\nlast');
        assert.equal(await engine.ok('logs', '--tail', '1', id), 'last');
        assert.match(await engine.ok('logs', '-t', '--tail', '1', id), /^\d{4}-\d\d-\d\dT\S+ last$/);
        assert.equal(await engine.ok('logs', '--since', '0s', id), '');
      });

      it('copies files both ways, running and stopped', async (t) => {
        const id = await detached('box', 'sleep', '300');
        t.after(() => engine.bh(['rm', '-f', id]));
        const file = path.join(engine.folder, `copy-${level}`);
        const content = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 7) % 256));
        writeFileSync(file, content);
        await engine.ok('cp', file, `${id}:/tmp/in`);
        assert.equal(await engine.ok('exec', id, 'sh', '-c', 'wc -c </tmp/in'), '100000');
        await engine.ok('cp', `${id}:/tmp/in`, `${file}.back`);
        assert.ok(readFileSync(`${file}.back`).equals(content));
        await engine.ok('stop', '-t', '0', id);
        await engine.ok('cp', `${id}:/tmp/in`, `${file}.stopped`);
        assert.ok(readFileSync(`${file}.stopped`).equals(content));
        assert.notEqual((await engine.bh(['cp', `${id}:/no/such`, file])).code, 0);
      });

      it('shows what it uses', async (t) => {
        const id = await detached('box', 'sh', '-c', 'while :; do :; done');
        t.after(() => engine.bh(['rm', '-f', id]));
        await sleep(1500);
        const stats = JSON.parse(await engine.ok('stats', '--no-stream', '--format', 'json', id));
        assert.ok(stats.memoryBytes > 0, JSON.stringify(stats));
        assert.ok(stats.cpuPercent > 5, JSON.stringify(stats));
      });

      it('takes 1 MB of arguments, a flood of lines, a closed stdout and a maker of zombies', async () => {
        const argument = 'x'.repeat(100_000);
        const many = await run(['box', 'sh', '-c', 'echo $#', 'sh', ...Array.from({ length: 10 }, () => argument)]);
        assert.equal(many.stdout, '10\n', many.stderr.slice(0, 500));
        const flood = await run(['box', 'seq', '1', '100000']);
        assert.equal(flood.stdout.length, 588895);
        assert.ok(flood.stdout.endsWith('\n99999\n100000\n'));
        assert.equal((await run(['box', 'sh', '-c', 'exec >&- 2>&-; sleep 0.3; exit 4'])).code, 4);
        const zombies = await run([
          '--init',
          'box',
          'sh',
          '-c',
          'for i in 1 2 3 4 5; do (sleep 0.1 &) ; done; sleep 1; ps -o stat 2>/dev/null | grep -c Z || true',
        ]);
        assert.equal(zombies.stdout.trim(), '0', zombies.stderr);
      });
    });
  }
});
