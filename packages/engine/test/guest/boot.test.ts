/** The agent on a real kernel: a machine boots, a task runs beside execs, its end is kept and acknowledged. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cannotBoot, machineConfig, processOf, run, TestMachine } from './machine.ts';

test('a task runs with execs beside it, survives its engine and ends in order', {
  skip: cannotBoot,
  timeout: 120_000,
}, async (t) => {
  const machine = new TestMachine(t);
  const channel = await machine.connect();
  t.after(() => channel.close());
  assert.equal(channel.hello.taskStarted, false);
  await channel.configure(machineConfig());

  await t.test('a command that is not there is told from one that cannot run', async () => {
    await assert.rejects(channel.startTask(processOf(['nowhere'])), { code: 'command_not_found' });
    await assert.rejects(channel.startTask(processOf(['not-a-program'])), { code: 'command_not_executable' });
    await assert.rejects(channel.startTask(processOf(['true'], { user: 'nobody-here' })), { code: 'invalid_user' });
  });

  const script = 'echo out $$ $GREETING; echo err >&2; read line; echo got $line; exec sleep 1000';
  const { pid } = await channel.startTask(processOf(['sh', '-c', script], { stdin: true, cwd: '/made/for/it' }));
  assert.ok(pid > 1);

  await t.test('the task reads its input', async () => {
    channel.taskStdin().stdin.write('a line\n');
    while (!machine.read('stdout').includes('got')) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(machine.read('stdout'), 'out 1 hello\ngot a line\n');
    assert.equal(machine.read('stderr'), 'err\n');
  });

  await t.test('execs have streams, user, groups and directory of their own', async () => {
    const result = await run(channel, ['sh', '-c', 'id; echo $HOME; pwd; hostname; echo bad >&2; exit 7'], {
      user: 'sailor',
      cwd: '/scratch/..',
    });
    assert.equal(result.code, 7);
    assert.match(result.stdout, /uid=1000\(sailor\) gid=1000\(sailor\) groups=2000\(crew\)\n\/home\n\/\nboat\n/);
    assert.equal(result.stderr, 'bad\n');
    await assert.rejects(channel.exec(processOf(['nowhere'])), { code: 'command_not_found' });
  });

  await t.test('the machine is as configured', async () => {
    const seen = await run(channel, [
      'sh',
      '-c',
      'cat /etc/hosts /etc/resolv.conf; ulimit -n; grep -E "CapBnd|NoNewPrivs" /proc/self/status; ps | wc -l; cat /proc/1/comm; : > /scratch/f && echo ok'.replace(
        'grep',
        '/bin/busybox grep',
      ),
    ]);
    assert.match(seen.stdout, /10\.0\.0\.2 boat\nnameserver 10\.0\.0\.1\n500\n/);
    assert.match(seen.stdout, /CapBnd:\t0000000000000{0,}e1\n|CapBnd:\t00000000000000e1\n/);
    assert.match(seen.stdout, /NoNewPrivs:\t1\n/);
    assert.match(seen.stdout, /sleep\nok\n$/);
    const time = await run(channel, ['date', '+%s']);
    assert.ok(Math.abs(Number(time.stdout) - Date.now() / 1000) < 10);
  });

  await t.test('a megabyte of arguments arrives', async () => {
    const args = Array.from({ length: 10 }, () => 'x'.repeat(100_000));
    const counted = await run(channel, ['sh', '-c', 'echo $#', ...args.slice(0, 10), 'last']);
    assert.equal(counted.stdout, '10\n');
  });

  await t.test('an exec nobody reads stalls no other', async () => {
    const stalled = await channel.exec(processOf(['sh', '-c', 'while :; do echo flood; done']));
    assert.equal((await run(channel, ['echo', 'free'])).stdout, 'free\n');
    stalled.close();
    assert.equal(await stalled.exit.then((code) => code), 137);
  });

  await t.test('much input comes back whole', async () => {
    const session = await channel.exec(processOf(['cat'], { stdin: true }));
    const sent = Buffer.alloc(2_000_000, 'binary\0\xff\n', 'latin1');
    session.stdin.end(sent);
    const chunks: Buffer[] = [];
    for await (const chunk of session.stdout) chunks.push(chunk);
    assert.ok(Buffer.concat(chunks).equals(sent));
    assert.equal(await session.exit, 0);
  });

  await t.test('a terminal has a size and changes it', async () => {
    const session = await channel.exec(
      processOf(['sh', '-c', 'stty size; read x; stty size'], {
        tty: true,
        stdin: true,
        terminalSize: { columns: 90, rows: 30 },
      }),
    );
    session.resize(100, 40);
    session.stdin.write('\n');
    let text = '';
    for await (const chunk of session.stdout) text += chunk;
    assert.match(text, /40 100/);
    assert.equal(await session.exit, 0);
  });

  await t.test("the agent's own busybox runs in the task's root as root", async () => {
    const listed = await run(channel, ['/.bulkhead/busybox', 'tar', '-c', '-f', '-', 'etc/passwd'], { user: 'sailor' });
    assert.equal(listed.code, 0);
    assert.ok(listed.stdout.startsWith('etc/passwd'));
  });

  await t.test('figures are plausible', async () => {
    const stats = await channel.stats();
    assert.ok(stats.cpuNanoseconds > 0 && stats.memoryBytes > 1 << 20 && stats.pids >= 1, JSON.stringify(stats));
  });

  await t.test('a new engine finds the task running, even after a frame was cut off', async () => {
    channel.close();
    const second = await machine.connect(false);
    t.after(() => second.close());
    assert.equal(second.hello.taskStarted, true);
    await assert.rejects(second.startTask(processOf(['true'])), { code: 'wrong_state' });
    assert.equal((await run(second, ['echo', 'back'])).stdout, 'back\n');
    await second.signalTask(9);
    assert.deepEqual(await second.waitTask(), { code: 137, oomKilled: false });
    second.close();
  });

  await t.test('the exit is kept until it is acknowledged, then the machine goes off', async () => {
    const third = await machine.connect(false);
    t.after(() => third.close());
    assert.deepEqual(await third.waitTask(), { code: 137, oomKilled: false });
    await third.powerOff();
    const limit = setTimeout(() => machine.vmm.kill('SIGKILL'), 10_000);
    await machine.ended;
    clearTimeout(limit);
    assert.equal(machine.vmm.signalCode, null);
  });
});
