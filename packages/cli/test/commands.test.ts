/** Lists, errors, logs, help and the life of the engine process, through the real launcher. */
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { BulkheadError } from '@bulkhead/contract/errors';
import { TABLE } from '../src/table.ts';
import { bulkhead, FakeEngine, ID, instance, LAUNCHER } from './fake-engine.ts';

test('ps shows Docker’s columns and the level; json, quiet and filters work', async (t) => {
  const rows = [
    instance({ createdAt: Date.now() - 200_000 }),
    instance({ id: 'f'.repeat(32), name: 'evil\x1b[2J', level: 'microvm' }),
  ];
  const engine = await FakeEngine.start(t, { listInstances: () => rows });
  const table = (await bulkhead(engine.socket, ['ps', '-a', '-f', 'level=microvm'])).stdout.toString();
  const [head, first, second] = table.split('\n');
  assert.match(head!, /^CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +LEVEL +PORTS +NAMES$/);
  assert.match(
    first!,
    /^ffffffffffff +alpine:3 +"sleep 100" +About a minute ago +Up 3 seconds +microvm +evil\\x1b\[2J$/,
  );
  assert.match(second!, /^0123456789ab .* 3 minutes ago .* container +calm_otter$/);
  assert.equal(engine.calls[0]!.query.get('all'), '1');
  assert.deepEqual(engine.calls[0]!.query.getAll('filter'), ['level=microvm']);
  assert.equal((await bulkhead(engine.socket, ['ps', '-q', '-l'])).stdout.toString(), 'ffffffffffff\n');
  assert.equal(
    (await bulkhead(engine.socket, ['ps', '-aq', '--no-trunc'])).stdout.toString(),
    `${'f'.repeat(32)}\n${ID}\n`,
  );
  const json = (await bulkhead(engine.socket, ['ps', '--format', 'json'])).stdout.toString().trimEnd().split('\n');
  assert.deepEqual(
    json.map((line) => JSON.parse(line).level),
    ['microvm', 'container'],
  );
});

test('images lists a line a name and hides Docker’s own registry', async (t) => {
  const image = {
    id: `sha256:${'b'.repeat(64)}`,
    tags: ['docker.io/library/alpine:3', '127.0.0.1:5000/base:1'],
    repoDigests: [],
    architecture: 'amd64',
    os: 'linux',
    createdAt: Date.now() - 86_400_000 * 3,
    sizeBytes: 7_050_000,
    layers: [],
    config: {},
  };
  const engine = await FakeEngine.start(t, { listImages: () => [image] });
  const lines = (await bulkhead(engine.socket, ['images'])).stdout.toString().trimEnd().split('\n');
  assert.match(lines[0]!, /^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE$/);
  assert.match(lines[1]!, /^alpine +3 +bbbbbbbbbbbb +3 days ago +7.05MB$/);
  assert.match(lines[2]!, /^127.0.0.1:5000\/base +1 +bbbbbbbbbbbb/);
  assert.equal((await bulkhead(engine.socket, ['image', 'ls', '-q', 'alpine'])).stdout.toString(), 'bbbbbbbbbbbb\n');
  assert.equal((await bulkhead(engine.socket, ['images', '-q', 'busybox'])).stdout.toString(), '');
});

test('logs keeps streams apart, bytes as they are, and times at line starts only', async (t) => {
  const record = (stream: string, text: string | Buffer) => ({
    stream,
    at: 0,
    timestamp: '2024-05-01T10:00:00.000000000Z',
    data: Buffer.from(text).toString('base64'),
  });
  const engine = await FakeEngine.start(t, {
    async *logs() {
      yield record('stdout', 'half');
      yield record('stderr', 'err\n');
      yield record('stdout', Buffer.from([0xff, 0x00, 0x0a]));
    },
  });
  const plain = await bulkhead(engine.socket, ['logs', '--tail', '5', '--since', '1700000000', 'web']);
  assert.deepEqual(plain.stdout, Buffer.from([...Buffer.from('half'), 0xff, 0x00, 0x0a]));
  assert.equal(plain.stderr, 'err\n');
  assert.equal(engine.calls[0]!.query.toString(), 'since=1700000000000&tail=5');
  const timed = await bulkhead(engine.socket, ['logs', '-t', 'web']);
  assert.equal(timed.stdout.toString('latin1'), '2024-05-01T10:00:00.000000000Z half\xff\x00\n');
});

test('a stream that fails halfway shows what came and ends with the error', async (t) => {
  const engine = await FakeEngine.start(t, {
    async *pullImage() {
      yield { phase: 'resolving' };
      throw new BulkheadError('registry_denied', 'the registry refuses');
    },
  });
  const { code, stdout, stderr } = await bulkhead(engine.socket, ['pull', 'alpine:3']);
  assert.deepEqual([code, stdout.toString()], [125, 'resolving\n']);
  assert.match(stderr, /^bulkhead: the registry refuses\nhint: /);
});

test('of several targets each is done, each failure told', async (t) => {
  const engine = await FakeEngine.start(t, {
    stopInstance({ params }) {
      if (params.ref === 'b/../x') throw new BulkheadError('no_such_instance', 'no instance "b"');
      return instance();
    },
  });
  const { code, stdout, stderr } = await bulkhead(engine.socket, ['stop', '-t', '1.5', 'a', 'b/../x', 'c']);
  assert.deepEqual([code, stdout.toString()], [1, 'a\nc\n']);
  assert.match(stderr, /^bulkhead: no instance "b"\nhint: /);
  assert.equal(engine.calls[0]!.query.get('timeoutMs'), '1500');
});

test('inspect looks for all kinds and prints an array', async (t) => {
  const engine = await FakeEngine.start(t, {
    inspectInstance() {
      throw new BulkheadError('no_such_instance', 'none');
    },
    inspectImage() {
      throw new BulkheadError('no_such_image', 'none');
    },
    inspectVolume({ params }) {
      if (params.name === 'data') return { name: 'data' };
      throw new BulkheadError('no_such_volume', 'none');
    },
    inspectNetwork() {
      throw new BulkheadError('no_such_network', 'none');
    },
  });
  const found = await bulkhead(engine.socket, ['inspect', 'data', 'nothing']);
  assert.deepEqual([found.code, JSON.parse(found.stdout.toString())], [1, [{ name: 'data' }]]);
  assert.match(found.stderr, /there is no instance, image, volume or network "nothing"/);
});

test('a wrong command line ends with 125, says what is wrong and what was meant', async () => {
  const cases: [string[], RegExp][] = [
    [['run', '--detatch', 'x'], /^bulkhead: unknown flag: --detatch\nhint: Did you mean --detach\?/],
    [['isnpect'], /^bulkhead: unknown command: isnpect\nhint: Did you mean `bulkhead inspect`\?/],
    [['image', 'lss'], /^bulkhead: unknown command: image lss\n/],
    [['rm'], /^bulkhead: "bulkhead rm" takes at least 1 argument\nhint: Usage: bulkhead rm /],
    [['ps', 'x'], /^bulkhead: "bulkhead ps" takes exactly 0 arguments\n/],
    [
      ['run', '--isolation', 'jail', 'x'],
      /^bulkhead: invalid value "jail" for --isolation\nhint: Use container, gvisor, microvm or vm\.\n/,
    ],
    [['run', '-m', 'lots', 'x'], /^bulkhead: invalid size "lots" for --memory\n/],
    [['run', '--rm', '--restart', 'always', 'x'], /^bulkhead: conflicting flags/],
    [['cp', 'a', 'b'], /^bulkhead: one side must be an instance/],
    [['ps', '-f', 'colour=red'], /^bulkhead: invalid filter "colour=red"\n/],
    [['--nope'], /^bulkhead: unknown flag: --nope\n/],
    [['ps'], /^bulkhead: the engine is not running: \/nowhere\/api.sock\nhint: Start it with `bulkhead up`\.\n/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr, stdout } = await bulkhead('/nowhere/api.sock', args);
    assert.deepEqual([code, stdout.toString()], [125, ''], args.join(' '));
    assert.match(stderr, message);
  }
});

test('-it without a terminal ends with 1, as in Docker', async () => {
  const { code, stderr } = await bulkhead('/nowhere/api.sock', ['run', '-it', 'x']);
  assert.equal(code, 1);
  assert.match(stderr, /^bulkhead: the input device is not a TTY\n/);
});

test('every command has help, also without an engine', async () => {
  for (const [name, entry] of Object.entries(TABLE)) {
    const { command } = await entry.load();
    const names = command.flags.map((flag) => flag.name);
    const shorts = command.flags.flatMap((flag) => flag.short ?? []);
    assert.equal(new Set(names).size, names.length, name);
    assert.equal(new Set(shorts).size, shorts.length, name);
  }
  for (const args of [['--help'], ['image', '--help'], ['run', '--help'], ['help', 'run']]) {
    const { code, stdout } = await bulkhead('/nowhere', args);
    assert.equal(code, 0);
    assert.match(stdout.toString(), /^Usage: bulkhead /);
  }
});

test('completions are valid shell and know commands, flags and names', async (t) => {
  const engine = await FakeEngine.start(t, { listInstances: () => [instance({ name: 'web' })] });
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, stdout } = await bulkhead(engine.socket, ['completion', shell]);
    assert.equal(code, 0);
    for (const word of ['run', 'volume', 'isolation', 'microvm']) assert.ok(stdout.includes(word), `${shell} ${word}`);
    if (shell !== 'bash') continue;
    const script = join(engine.directory, 'completion.bash');
    writeFileSync(script, stdout);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own.
    const line = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bulkhead; echo "${COMPREPLY[@]}"';
    const complete = async (...words: string[]) => {
      const env = { ...process.env, BULKHEAD_HOST: engine.socket };
      // Not the synchronous form: the engine that is asked for names lives in this process.
      const { stdout } = await promisify(execFile)('bash', ['-c', line, script, LAUNCHER, ...words], {
        env,
        timeout: 10_000,
      });
      return stdout.trim();
    };
    assert.equal(await complete('run', '--iso'), '--isolation');
    assert.equal(await complete('run', '--isolation', 'mi'), 'microvm');
    assert.equal(await complete('volume', 'pr'), 'prune');
    assert.equal(await complete('stop', ''), 'web');
  }
  assert.equal((await bulkhead(engine.socket, ['completion', 'tcsh'])).code, 125);
});

test('a reader that goes away ends the CLI as SIGPIPE would', async (t) => {
  const engine = await FakeEngine.start(t, {
    async *events() {
      for (let seq = 0; seq < 100_000; seq++)
        yield { seq, at: 0, type: 'instance', action: 'start', id: ID, attributes: {} };
    },
  });
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own.
  const line = '"$0" events | head -n 1; echo "${PIPESTATUS[0]}"';
  const child = spawn('bash', ['-c', line, LAUNCHER], { env: { ...process.env, BULKHEAD_HOST: engine.socket } });
  let text = '';
  for await (const chunk of child.stdout) text += chunk;
  assert.match(text, /^1970-01-01T00:00:00.000Z instance start 0123\w+\n141\n$/);
});

test('the launcher works through links and from any directory', async (t) => {
  const engine = await FakeEngine.start(t, {});
  const link = join(engine.directory, 'link');
  symlinkSync(LAUNCHER, link);
  const outcome = spawnSync(link, ['version', '--client'], { cwd: '/', timeout: 10_000 });
  assert.match(outcome.stdout.toString(), /^Client: bulkhead \d/);
});

test('down says so when there is no engine, up when there is one', async (t) => {
  const engine = await FakeEngine.start(t, { ping: () => ({ ok: true }) });
  const down = await bulkhead(join(engine.directory, 'none.sock'), ['down']);
  assert.deepEqual([down.code, down.stdout.toString()], [0, 'The engine is not running.\n']);
  const up = await bulkhead(engine.socket, ['up', '--data', engine.directory, '--run', engine.directory]);
  assert.deepEqual([up.code, up.stdout.toString()], [0, `The engine is up already: ${engine.socket}\n`]);
});

test('prune asks, and takes silence for no', async (t) => {
  const engine = await FakeEngine.start(t, {
    pruneImages: () => ({ removed: ['sha256:aa'], freedBytes: 1_500_000 }),
  });
  const asked = await bulkhead(engine.socket, ['image', 'prune']);
  assert.equal(asked.code, 0);
  assert.equal(engine.calls.length, 0);
  const yes = await bulkhead(engine.socket, ['image', 'prune', '-a'], { input: 'y\n' });
  assert.equal(yes.stdout.toString(), 'Deleted images:\nsha256:aa\nTotal reclaimed space: 1.5MB\n');
  assert.equal(engine.calls[0]!.query.get('all'), '1');
});

test('explain prints facts, rules and level, and ends with 125 where the policy refuses', async (t) => {
  const engine = await FakeEngine.start(t, {
    explain: () => ({
      subject: 'alpine:3',
      facts: { trust: 'untrusted', image: { registry: 'docker.io' } },
      rules: [
        {
          rule: 'untrusted',
          source: 'policy.yaml:3:5',
          condition: 'trust == "untrusted"',
          matched: true,
          minimum: 'gvisor',
        },
      ],
      refusal: { code: 'level_below_minimum', message: 'container is weaker than gvisor', hint: 'Ask for gvisor.' },
    }),
  });
  const { code, stdout } = await bulkhead(engine.socket, ['explain', '--trust', 'untrusted', 'alpine:3']);
  assert.equal(code, 125);
  assert.match(
    stdout.toString(),
    /image.registry = "docker.io"[\s\S]*\* untrusted \(policy.yaml:3:5\) matches: at least gvisor[\s\S]*Refused: container is weaker/,
  );
});
