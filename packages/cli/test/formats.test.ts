/** What people write is read, and what they read is written, as Docker does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandText, portText, statusText } from '../src/commands/ps.ts';
import { DetachKeys, parseDetachKeys } from '../src/detach-keys.ts';
import { IgnoreFile } from '../src/ignore-file.ts';
import { formatTable } from '../src/listing.ts';
import { parseMount, parsePublish, parseTmpfs, parseVolume } from '../src/mounts.ts';
import { progressLine } from '../src/progress.ts';
import { durationMs, humanBytes, humanDuration, humanSize, parseSize, parseTime } from '../src/quantities.ts';
import { absoluteReference } from '../src/references.ts';
import { escapeControl } from '../src/terminal.ts';
import { instance } from './fake-engine.ts';

test('sizes are read in binary units', () => {
  for (const [text, bytes] of [
    ['64m', 67108864],
    ['1.5g', 1610612736],
    ['1024', 1024],
    ['2kb', 2048],
    ['3MiB', 3145728],
    ['7b', 7],
  ] as const)
    assert.equal(parseSize(text, '--memory'), bytes);
  for (const text of ['', 'm', '-1m', '1x', '1e9', '1.2.3m'])
    assert.throws(() => parseSize(text, '--memory'), { code: 'invalid_limit' });
});

test('durations and times are read', () => {
  assert.equal(durationMs('1h30m'), 5_400_000);
  assert.equal(durationMs('1.5s'), 1500);
  assert.equal(durationMs('250ms'), 250);
  assert.equal(durationMs('10'), undefined);
  assert.equal(parseTime('10m', '--since', 1_000_000), 400_000);
  assert.equal(parseTime('1700000000', '--since', 0), 1_700_000_000_000);
  assert.equal(parseTime('2024-05-01T10:00:00Z', '--since', 0), Date.UTC(2024, 4, 1, 10));
  assert.throws(() => parseTime('yesterday', '--since', 0), { code: 'usage' });
});

test('times are written as people say them', () => {
  const [second, minute, hour, day] = [1000, 60_000, 3_600_000, 86_400_000];
  const expected: [number, string][] = [
    [500, 'Less than a second'],
    [second, '1 second'],
    [3 * second, '3 seconds'],
    [70 * second, 'About a minute'],
    [5 * minute, '5 minutes'],
    [70 * minute, 'About an hour'],
    [5 * hour, '5 hours'],
    [3 * day, '3 days'],
    [20 * day, '2 weeks'],
    [90 * day, '3 months'],
    [800 * day, '2 years'],
  ];
  for (const [ms, text] of expected) assert.equal(humanDuration(ms), text);
  assert.equal(humanSize(7_050_000), '7.05MB');
  assert.equal(humanBytes(7_050_000), '6.723MiB');
  assert.equal(humanSize(0), '0B');
});

test('the status column says what Docker would', () => {
  const now = Date.now();
  const status = (changes: Parameters<typeof instance>[0]) => statusText(instance(changes), now);
  assert.equal(status({ startedAt: now - 3000 }), 'Up 3 seconds');
  assert.equal(status({ startedAt: now - 3000, health: 'healthy' }), 'Up 3 seconds (healthy)');
  assert.equal(status({ startedAt: now - 3000, health: 'starting' }), 'Up 3 seconds (health: starting)');
  assert.equal(status({ state: 'stopped', exitCode: 3, finishedAt: now - 120_000 }), 'Exited (3) 2 minutes ago');
  const { startedAt, ...neverStarted } = instance({ state: 'pending' });
  assert.ok(startedAt);
  assert.equal(statusText(neverStarted, now), 'Created');
});

test('commands are shortened, ports are written with their host side', () => {
  assert.equal(commandText(['sleep', '100'], false), '"sleep 100"');
  assert.equal(commandText(['/docker-entrypoint.sh', 'nginx'], false), '"/docker-entrypoint.…"');
  assert.equal(portText({ hostIp: '0.0.0.0', hostPort: 8080, port: 80, protocol: 'tcp' }), '0.0.0.0:8080->80/tcp');
  assert.equal(portText({ port: 53, protocol: 'udp' }), '53/udp');
});

test('ports to publish are read, with ranges and addresses', () => {
  assert.deepEqual(parsePublish('80'), [{ hostPort: 0, port: 80, protocol: 'tcp' }]);
  assert.deepEqual(parsePublish('8080:80/udp'), [{ hostPort: 8080, port: 80, protocol: 'udp' }]);
  assert.deepEqual(parsePublish('127.0.0.1::80'), [{ hostIp: '127.0.0.1', hostPort: 0, port: 80, protocol: 'tcp' }]);
  assert.deepEqual(parsePublish('[::1]:81:80'), [{ hostIp: '::1', hostPort: 81, port: 80, protocol: 'tcp' }]);
  assert.equal(parsePublish('8000-8002:9000-9002').length, 3);
  for (const text of ['', 'x', '80:x', '99999:80', '1-2:80', '80/icmp', '1:2:3:4', '-1:80'])
    assert.throws(() => parsePublish(text), { code: 'invalid_port' }, text);
});

test('mounts are read in all three forms', () => {
  assert.deepEqual(parseVolume('data:/d:ro', '/w'), { type: 'volume', source: 'data', target: '/d', readOnly: true });
  assert.deepEqual(parseVolume('./x:/d', '/w'), { type: 'bind', source: '/w/x', target: '/d' });
  assert.deepEqual(parseVolume('/d', '/w'), { type: 'volume', target: '/d' });
  assert.deepEqual(parseMount('type=bind,src=/tmp,dst=/d,readonly', '/w'), {
    type: 'bind',
    source: '/tmp',
    target: '/d',
    readOnly: true,
  });
  assert.deepEqual(parseTmpfs('/d:size=1m,mode=1777'), {
    type: 'tmpfs',
    target: '/d',
    sizeBytes: 1048576,
    mode: 0o1777,
  });
  for (const text of ['a:b', 'a:/b:zz', ':/b', 'a:/b:ro:x'])
    assert.throws(() => parseVolume(text, '/w'), { code: 'invalid_mount' });
  for (const text of ['type=nfs,dst=/d', 'type=bind,dst=/d', 'dst=/d,colour=red', 'type=tmpfs'])
    assert.throws(() => parseMount(text, '/w'), { code: 'invalid_mount' });
});

test('control characters do not reach the terminal, columns stay aligned', () => {
  assert.equal(escapeControl('a\x1b[31mb\nc\u202e'), 'a\\x1b[31mb\\nc\\u202e');
  const lines = formatTable(
    [
      { title: 'A', value: (row: string) => row },
      { title: 'B', value: () => 'é' },
    ],
    ['long\x07', 'x'],
  );
  assert.deepEqual(lines, ['A          B', 'long\\x07   é', 'x          é']);
});

test('the detach keys are found over chunks, and nothing else is lost', () => {
  const keys = new DetachKeys(parseDetachKeys('ctrl-p,ctrl-q'));
  const feed = (text: string) => {
    const { pass, detached } = keys.feed(Buffer.from(text));
    return `${pass.toString()}${detached ? '!' : ''}`;
  };
  assert.equal(feed('ab'), 'ab');
  assert.equal(feed('\x10'), '');
  assert.equal(feed('x'), '\x10x');
  assert.equal(feed('\x10'), '');
  assert.equal(feed('\x10'), '\x10');
  assert.equal(feed('\x11rest'), '!');
  assert.deepEqual([...parseDetachKeys('a,ctrl-\\,ctrl-@')], [97, 28, 0]);
  assert.throws(() => parseDetachKeys('ctrl-p,,x'), { code: 'usage' });
  assert.equal(new DetachKeys(parseDetachKeys('')).feed(Buffer.from('\x10\x11')).detached, false);
});

test('.dockerignore is read as Docker reads it', () => {
  const ignore = new IgnoreFile('# comment\nnode_modules\n*.log\n**/*.tmp\n!keep.log\n/docs/*\n!docs/README.md\n');
  const ignored = ['node_modules', 'node_modules/a/b', 'x.log', 'a/b/c.tmp', 'c.tmp', 'docs/a'];
  const kept = ['a/x.log', 'keep.log', 'docs/README.md', 'src', 'src/node_modules', 'node_modules2'];
  for (const path of ignored) assert.equal(ignore.ignores(path), true, path);
  for (const path of kept) assert.equal(ignore.ignores(path), false, path);
});

test('progress is one line a layer', () => {
  const line = progressLine({
    phase: 'downloading',
    layer: `sha256:${'ab'.repeat(32)}`,
    currentBytes: 5e5,
    totalBytes: 1e6,
  });
  assert.match(line, /^abababababab: downloading\s+\[={15} {15}\] 500kB\/1MB$/);
});

test('references to local archives become absolute', () => {
  assert.equal(absoluteReference('docker-archive:./a.tar:x:1', '/w'), 'docker-archive:/w/a.tar:x:1');
  assert.equal(absoluteReference('alpine:3', '/w'), 'alpine:3');
});
