/** Bad input: a clear error with a code's exit status, and nothing half done. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Engine, loadBusybox } from './harness.ts';

interface Case {
  what: string;
  args: string[];
  code: number;
  says: RegExp;
}

const CASES: Case[] = [
  { what: 'an unknown command', args: ['rnu'], code: 125, says: /rnu/ },
  { what: 'an unknown flag', args: ['run', '--frobnicate', 'box'], code: 125, says: /unknown flag: --frobnicate/ },
  { what: 'an unknown instance', args: ['stop', 'nobody'], code: 1, says: /nobody/ },
  {
    what: 'an unknown image with --pull never',
    args: ['run', '--rm', '--pull', 'never', 'nothing:here', 'true'],
    code: 125,
    says: /nothing:here/,
  },
  { what: 'a malformed reference', args: ['run', '--rm', 'UPPER//case', 'true'], code: 125, says: /UPPER/ },
  { what: 'a malformed digest', args: ['pull', 'box@sha256:short'], code: 125, says: /sha256:short/ },
  {
    what: 'an unknown level',
    args: ['run', '--rm', '--isolation', 'submarine', 'box', 'true'],
    code: 125,
    says: /submarine/,
  },
  { what: 'a malformed memory limit', args: ['run', '--rm', '-m', 'lots', 'box', 'true'], code: 125, says: /lots/ },
  {
    what: 'a memory limit that is too small',
    args: ['run', '--rm', '-m', '1k', 'box', 'true'],
    code: 125,
    says: /memory/i,
  },
  {
    what: 'more CPUs than there are',
    args: ['run', '--rm', '--cpus', '100000', 'box', 'true'],
    code: 125,
    says: /cpu/i,
  },
  { what: 'a malformed port', args: ['run', '--rm', '-p', '99999:80', 'box', 'true'], code: 125, says: /99999/ },
  {
    what: 'a name with a path in it',
    args: ['run', '--rm', '--name', '../etc', 'box', 'true'],
    code: 125,
    says: /name/i,
  },
  { what: 'a name with a newline', args: ['run', '--rm', '--name', 'a\nb', 'box', 'true'], code: 125, says: /name/i },
  {
    what: 'a name with an escape',
    args: ['run', '--rm', '--name', 'a\u001b[31mb', 'box', 'true'],
    code: 125,
    says: /name/i,
  },
  {
    what: 'a user id beyond 2^31',
    args: ['run', '--rm', '-u', '4294967296', 'box', 'true'],
    code: 125,
    says: /4294967296|user/,
  },
  {
    what: 'a user that is not in the image',
    args: ['run', '--rm', '-u', 'zoe', 'box', 'true'],
    code: 125,
    says: /zoe/,
  },
  {
    what: 'a working directory in /proc/self/fd',
    args: ['run', '--rm', '-w', '/proc/self/fd/8', 'box', 'true'],
    code: 125,
    says: /\/proc\/self\/fd/,
  },
  {
    what: 'a relative mount target',
    args: ['run', '--rm', '-v', '/tmp:relative', 'box', 'true'],
    code: 125,
    says: /relative/,
  },
  { what: 'a bind of /', args: ['run', '--rm', '-v', '/:/host', 'box', 'true'], code: 125, says: /grant|policy/i },
  { what: 'privileged', args: ['run', '--rm', '--privileged', 'box', 'true'], code: 125, says: /privileged/i },
  {
    what: 'a dangerous capability',
    args: ['run', '--rm', '--cap-add', 'SYS_ADMIN', 'box', 'true'],
    code: 125,
    says: /SYS_ADMIN/,
  },
  { what: 'the host network', args: ['run', '--rm', '--network', 'host', 'box', 'true'], code: 125, says: /host/ },
  {
    what: 'an unknown network',
    args: ['run', '--rm', '--network', 'nowhere', 'box', 'true'],
    code: 125,
    says: /nowhere/,
  },
  {
    what: 'untrusted at level container',
    args: ['run', '--rm', '--trust', 'untrusted', '--isolation', 'container', 'box', 'true'],
    code: 125,
    says: /untrusted/,
  },
  { what: 'an unreachable registry', args: ['pull', '127.0.0.1:1/none/none'], code: 125, says: /127\.0\.0\.1:1/ },
];

describe('bad input', () => {
  let engine: Engine;
  before(async () => {
    engine = await Engine.start();
    await loadBusybox(engine, { name: 'box' });
  });
  after(() => engine.dispose());

  for (const { what, args, code, says } of CASES) {
    it(`${what} is refused clearly`, async () => {
      const done = await engine.bh(args);
      assert.equal(done.code, code === 1 ? 1 : code, done.stderr);
      assert.match(done.stderr, says);
      assert.doesNotMatch(done.stderr, /\n\s+at .*\.ts:\d+/, 'a stack trace is not a message');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not be there
      assert.doesNotMatch(done.stderr, /\u001b/, 'escapes of the input reach the terminal');
      assert.equal(await engine.ok('ps', '-aq'), '', 'something half done is left');
    });
  }

  it('a name that is taken, and a port that is taken, are refused', async (t) => {
    await engine.ok('run', '-d', '--name', 'taken', 'box', 'sleep', '100');
    const server = net.createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as net.AddressInfo;
    t.after(async () => {
      server.close();
      await engine.bh(['rm', '-f', 'taken']);
    });
    const name = await engine.bh(['run', '-d', '--name', 'taken', 'box', 'true']);
    assert.equal(name.code, 125);
    assert.match(name.stderr, /taken/);
    const busy = await engine.bh(['run', '-d', '--name', 'porter', '-p', `127.0.0.1:${port}:80`, 'box', 'true']);
    assert.equal(busy.code, 125);
    assert.match(busy.stderr, new RegExp(String(port)));
  });

  it('a registry that sends garbage or nothing is named', async (t) => {
    const garbage = net.createServer((socket) => socket.end('220 this is not HTTP\r\n')).listen(0, '127.0.0.1');
    await new Promise((resolve) => garbage.once('listening', resolve));
    t.after(() => garbage.close());
    const address = `127.0.0.1:${(garbage.address() as net.AddressInfo).port}`;
    const done = await engine.bh(['pull', `${address}/a/b`]);
    assert.equal(done.code, 125);
    assert.match(done.stderr, new RegExp(address));
  });

  it('a policy with a mistake is refused with its line and column', async () => {
    const file = path.join(engine.folder, 'policy.yaml');
    writeFileSync(
      file,
      'version: 1\nrules:\n  - name: one\n    when: task.trsut == "untrusted"\n    minimum: gvisor\n',
    );
    await assert.rejects(Engine.start(['--policy', file]), (error: Error) => /policy\.yaml:4:\d+/.test(error.message));
  });
});
