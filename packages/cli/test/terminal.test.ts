/** What happens on a real terminal: raw input, resize, detaching, redrawn progress. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FRAME } from '@bulkhead/contract/stream';
import { type IPty, spawn } from '@lydell/node-pty';
import { FakeEngine, instance, LAUNCHER } from './fake-engine.ts';

interface Screen {
  pty: IPty;
  text(): string;
  until(wanted: string): Promise<void>;
  exit: Promise<number>;
}

function terminal(socket: string, args: string[]): Screen {
  const env = { ...process.env, BULKHEAD_HOST: socket, TERM: 'xterm' } as Record<string, string>;
  const pty = spawn(LAUNCHER, args, { cols: 91, rows: 33, env });
  let seen = '';
  const waiting: { wanted: string; done: () => void }[] = [];
  pty.onData((data) => {
    seen += data;
    for (const one of waiting) if (seen.includes(one.wanted)) one.done();
  });
  const exit = new Promise<number>((resolve) => pty.onExit(({ exitCode }) => resolve(exitCode)));
  return {
    pty,
    exit,
    text: () => seen,
    until: (wanted) =>
      new Promise((done, fail) => {
        if (seen.includes(wanted)) return done();
        waiting.push({ wanted, done });
        setTimeout(() => fail(new Error(`no ${JSON.stringify(wanted)} in ${JSON.stringify(seen)}`)), 8000).unref();
      }),
  };
}

test('run -it is raw, knows the size and its changes, and ends with the task’s code', async (t) => {
  const sizes: string[] = [];
  const engine = await FakeEngine.start(t, {
    createInstance: () => instance(),
    async attach(stream) {
      for await (const { type, payload } of stream.frames()) {
        if (type === FRAME.resize) {
          sizes.push(`${payload.readUInt16BE(0)}x${payload.readUInt16BE(2)}`);
          stream.send(FRAME.stdout, `size ${sizes.at(-1)};\n`);
        }
        if (type === FRAME.stdin) stream.send(FRAME.stdout, `<${payload.toString('hex')}>`);
        if (payload.toString() === '\x04') stream.exit(5);
      }
    },
  });
  const screen = terminal(engine.socket, ['run', '-it', '--rm', 'alpine:3']);
  await screen.until('size 91x33;');
  screen.pty.write('\x03');
  await screen.until('<03>');
  screen.pty.resize(120, 40);
  await screen.until('size 120x40;');
  assert.ok(!screen.text().includes('\r'), 'the terminal adds nothing to what the task wrote');
  screen.pty.write('\x04');
  assert.equal(await screen.exit, 5);
  assert.deepEqual(sizes, ['91x33', '120x40']);
});

test('Ctrl-P Ctrl-Q leaves the task running; other keys may be chosen', async (t) => {
  const typed: string[] = [];
  const engine = await FakeEngine.start(t, {
    createInstance: () => instance(),
    async attach(stream) {
      stream.send(FRAME.stdout, 'ready');
      for await (const { type, payload } of stream.frames()) if (type === FRAME.stdin) typed.push(payload.toString());
    },
  });
  for (const [flags, keys] of [
    [[], '\x10\x11'],
    [['--detach-keys', 'ctrl-x,d'], '\x18d'],
  ] as const) {
    const screen = terminal(engine.socket, ['run', '-it', ...flags, 'alpine:3']);
    await screen.until('ready');
    screen.pty.write('a');
    screen.pty.write(keys);
    assert.equal(await screen.exit, 0);
  }
  assert.equal(typed.join(''), 'aa');
  assert.equal(engine.called('removeInstance').length, 0);
});

test('pull redraws one line a layer', async (t) => {
  const engine = await FakeEngine.start(t, {
    async *pullImage() {
      for (let at = 0; at <= 4; at++) {
        yield { phase: 'downloading', layer: 'sha256:aaaaaaaaaaaaaaaa', currentBytes: at * 250, totalBytes: 1000 };
        yield { phase: 'downloading', layer: 'sha256:bbbbbbbbbbbbbbbb', currentBytes: at * 25, totalBytes: 100 };
        await new Promise((resolve) => setTimeout(resolve, 90));
      }
      yield { phase: 'done', message: 'sha256:cc' };
    },
  });
  const screen = terminal(engine.socket, ['pull', 'alpine:3']);
  assert.equal(await screen.exit, 0);
  assert.match(screen.text(), /aaaaaaaaaaaa: downloading\s+\[=+ +\]/);
  assert.ok(screen.text().includes('\x1b[2A'), 'two lines are drawn over');
  assert.ok(screen.text().trimEnd().endsWith('alpine:3'));
});

test('stats redraws on a terminal', async (t) => {
  const row = { id: 'a'.repeat(32), name: 'web', level: 'container', at: 0, cpuPercent: 1.5, memoryBytes: 2097152 };
  const rest = {
    memoryLimitBytes: 4194304,
    pids: 3,
    networkReceivedBytes: 0,
    networkSentBytes: 1000,
    blockReadBytes: 0,
    blockWrittenBytes: 0,
  };
  const engine = await FakeEngine.start(t, {
    async *stats() {
      for (let at = 0; at < 3; at++) {
        yield { ...row, ...rest };
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
  });
  const screen = terminal(engine.socket, ['stats']);
  assert.equal(await screen.exit, 0);
  assert.match(screen.text(), /CONTAINER ID\s+NAME\s+LEVEL\s+CPU %/);
  assert.match(
    screen.text(),
    /aaaaaaaaaaaa\s+web\s+container\s+1\.50%\s+2MiB \/ 4MiB\s+50\.00%\s+0B \/ 1kB\s+0B \/ 0B\s+3/,
  );
  // Each row takes two lines of this narrow terminal.
  assert.ok(screen.text().includes('\x1b[4A'));
});
