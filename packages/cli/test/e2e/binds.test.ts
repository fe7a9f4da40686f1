/** Folders of the host inside a task: owners as the host has them, for those who are trusted. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Engine, loadBusybox } from './harness.ts';

const LEVELS = (process.env.BULKHEAD_TEST_LEVELS ?? 'container,gvisor').split(',');

describe('a folder of the host inside a task', () => {
  let engine: Engine;
  let folder: string;
  const policies = mkdtempSync(path.join(tmpdir(), 'bh-policy-'));
  before(async () => {
    // An untrusted task needs a grant for every bind.
    const policy = path.join(policies, 'policy.yaml');
    writeFileSync(policy, 'version: 1\ngrants:\n  - bindPaths: [/var/tmp]\n    when: task.trust == "untrusted"\n');
    engine = await Engine.start(['--policy', policy]);
    await loadBusybox(engine, { name: 'box' });
    // Closed to all but root, as much of a server is.
    const parent = path.join(engine.folder, 'closed');
    mkdirSync(parent, { mode: 0o700 });
    folder = path.join(parent, 'folder');
    mkdirSync(folder, { mode: 0o755 });
  });
  after(async () => {
    rmSync(policies, { recursive: true });
    await engine.dispose();
  });

  it('a file system that maps no ids is shown as it is, and inspect says so', async (t) => {
    const odd = path.join(engine.folder, 'odd');
    mkdirSync(path.join(odd, 'below'), { recursive: true });
    execFileSync('mount', ['-t', 'proc', 'proc', path.join(odd, 'below')]);
    t.after(() => execFileSync('umount', [path.join(odd, 'below')]));
    writeFileSync(path.join(odd, 'file'), 'x\n');
    const id = await engine.ok(
      'run',
      '-d',
      '-v',
      `${odd}:/odd`,
      'box',
      'sh',
      '-c',
      'stat -c %u /odd/file; cat /odd/file; sleep 60',
    );
    for (let round = 0; round < 50 && !(await engine.ok('logs', id)).endsWith('x'); round++)
      await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(await engine.ok('logs', id), '65534\nx');
    assert.match(await engine.ok('inspect', id), /"bindsWithForeignOwners": "\/odd"/);
    await engine.ok('rm', '-f', id);
  });

  for (const level of LEVELS) {
    const run = (mount: string, script: string, ...more: string[]) =>
      engine.bh(['run', '--rm', '--isolation', level, ...more, '-v', mount, 'box', 'sh', '-c', script]);

    it(`shows its owners as they are, and root writes as root, at level ${level}`, async () => {
      writeFileSync(path.join(folder, 'of-root'), 'r\n', { mode: 0o600 });
      writeFileSync(path.join(folder, 'of-alice'), 'a\n', { mode: 0o600 });
      chownSync(path.join(folder, 'of-alice'), 1000, 1000);
      const { stdout, stderr } = await run(
        `${folder}:/host`,
        'stat -c %u /host/of-root /host/of-alice; cat /host/of-root; echo new >/host/new; chown alice /host/new',
      );
      assert.equal(stdout, '0\n1000\nr\n', stderr);
      assert.equal(readFileSync(path.join(folder, 'new'), 'utf8'), 'new\n');
      assert.equal(statSync(path.join(folder, 'new')).uid, 1000);
      const asAlice = await run(`${folder}:/host`, 'cat /host/of-alice; cat /host/of-root', '-u', 'alice');
      assert.equal(asAlice.stdout, 'a\n');
      assert.match(asAlice.stderr, /of-root.*denied/i);
    });

    it(`a single file and a read-only folder work the same way, at level ${level}`, async () => {
      const file = path.join(folder, 'file');
      writeFileSync(file, 'before\n', { mode: 0o600 });
      const written = await run(`${file}:/etc/one`, 'cat /etc/one; echo after >/etc/one');
      assert.equal(written.stdout, 'before\n', written.stderr);
      assert.equal(readFileSync(file, 'utf8'), 'after\n');
      const kept = await run(`${folder}:/host:ro`, 'cat /host/file; echo no >/host/file || echo refused');
      assert.equal(kept.stdout, 'after\nrefused\n');
      assert.equal(readFileSync(file, 'utf8'), 'after\n');
    });

    it(`who is not trusted writes only where everybody may, and as nobody of the host, at level ${level}`, async (t) => {
      if (level === 'container') return t.skip('the shipped policy runs nobody here who is not trusted');
      const open = path.join(folder, 'open');
      mkdirSync(open, { recursive: true });
      chmodSync(open, 0o777);
      writeFileSync(path.join(folder, 'secret'), 's\n', { mode: 0o600 });
      const { stdout, stderr } = await run(
        `${folder}:/host`,
        'cat /host/secret || echo closed; touch /host/mine || echo refused; echo x >/host/open/theirs && echo written',
        ...['--trust', 'untrusted'],
      );
      assert.equal(stdout, 'closed\nrefused\nwritten\n', stderr);
      assert.ok(statSync(path.join(open, 'theirs')).uid >= 100_000);
      rmSync(open, { recursive: true });
    });

    it(`nothing of it is left mounted, also not by an engine that was killed, at level ${level}`, async () => {
      const mounts = (): string[] =>
        readFileSync('/proc/self/mounts', 'utf8')
          .split('\n')
          .filter((line) => line.includes(`${engine.run}/instances`));
      const id = await engine.ok('run', '-d', '--isolation', level, '-v', `${folder}:/host`, 'box', 'sleep', '100');
      assert.ok(mounts().some((line) => line.includes('/trees/')));
      await engine.crash();
      await engine.boot();
      assert.equal(await engine.ok('exec', id, 'cat', '/host/of-root'), 'r');
      await engine.ok('rm', '-f', id);
      assert.deepEqual(mounts(), []);
    });
  }
});
