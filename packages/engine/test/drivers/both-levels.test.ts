/** What the levels that run a bundle do alike, on the real runtimes and without an engine around them. */
import assert from 'node:assert/strict';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { DriverHost, type More, processOf } from './driver-host.ts';

for (const level of ['container', 'gvisor'] as const) {
  describe(`level ${level}`, () => {
    let host: DriverHost;
    before(async () => {
      host = await DriverHost.make(level);
      const { available, reason } = await host.driver.fingerprint();
      assert.ok(available, `this host has no ${level}: ${reason}`);
    });
    after(() => host?.dispose());

    const sleeping = async (more: More = {}) => {
      const plan = host.plan(['/bin/sleep', '300'], more);
      return { plan, id: plan.id, handle: await host.driver.start(plan) };
    };
    const exec = async (id: string, handle: string, args: string[], more = {}) => {
      const session = await host.driver.exec(id, handle, processOf(args, more));
      session.stdin.end();
      const [out, err, code] = await Promise.all([text(session.stdout), text(session.stderr), session.exit]);
      return { out, err, code };
    };

    it('a task has its streams, its exit code and the signal that ended it', async () => {
      const { code, out, err } = await host.sh('echo out; echo err >&2; exit 7');
      assert.deepEqual({ code, out, err }, { code: 7, out: 'out\n', err: 'err\n' });
      const killed = await sleeping();
      await host.driver.signal(killed.id, killed.handle, 9);
      assert.equal((await host.driver.wait(killed.id, killed.handle)).code, 137);
      await host.driver.destroy(killed.id);
    });

    const STARTS = { '/no/such': 'command_not_found', 'no-such': 'command_not_found' } as Record<string, string>;
    for (const file of ['/etc/passwd', '/etc', '/bin/plain', './bin/plain', '/etc/passwd/below'])
      STARTS[file] = 'command_not_executable';

    it('a command that is missing or no program does not start, and leaves nothing behind', async () => {
      for (const [command, code] of Object.entries(STARTS)) {
        const plan = host.plan([command]);
        await assert.rejects(host.driver.start(plan), { code }, command);
        assert.deepEqual(host.traces(plan.id), [], command);
      }
    });

    it('an exec of one ends with 127 or 126 and says so; the task lives on', async () => {
      const { id, handle } = await sleeping();
      const { '/etc/passwd/below': _noDirectory, ...others } = STARTS;
      for (const [command, code] of Object.entries(others)) {
        const done = await exec(id, handle, [command]);
        assert.equal(done.code, code === 'command_not_found' ? 127 : 126, command);
        assert.notEqual(done.err, '', command);
      }
      assert.equal((await exec(id, handle, ['/bin/sh', '-c', 'kill -9 $$'])).code, 137, 'a real kill stays one');
      assert.equal((await exec(id, handle, ['/bin/true'])).code, 0);
      await host.driver.destroy(id);
    });

    it('users come from the image’s own files; ids beyond the map do not exist', async () => {
      const who = async (user: string, groupAdd: string[] = []) =>
        (await host.sh('echo $(id -u):$(id -g):$(id -G):$HOME', { process: { user, groupAdd } })).out.trim();
      assert.equal(await who(''), '0:0:0:/root');
      assert.equal(await who('app'), '1000:1000:1000 1500:/home/app');
      assert.equal(await who('app:other'), '1000:1600:1600:/home/app');
      assert.equal(await who('65535'), '65535:0:0:/');
      assert.match(await who('1000', ['other']), /^1000:1000:.*1600/);
      for (const user of ['far', '65536', '2147483648', '4294967295', '-1', 'nobody-here', 'app:nogroup'])
        await assert.rejects(host.sh('id', { process: { user } }), { code: 'invalid_user' }, user);
    });

    it('a working directory that is missing is made; /proc, files and links out of the root are refused', async () => {
      assert.equal((await host.sh('pwd', { process: { cwd: '/made/here' } })).out, '/made/here\n');
      for (const cwd of ['/proc/self/fd/7', '/proc', '//proc/1', '/etc/../proc/1', '/sly', '/full/file'])
        await assert.rejects(host.sh('pwd', { process: { cwd } }), { code: 'start_failed' }, cwd);
      const { id, handle } = await sleeping();
      for (const cwd of ['/proc/self/fd/7', '/etc/../proc/1'])
        await assert.rejects(host.driver.exec(id, handle, processOf(['/bin/true'], { cwd })), { code: 'start_failed' });
      await host.driver.destroy(id);
    });

    it('a limit above the host’s ceiling is lowered, the start succeeds, inspect shows it', async (t) => {
      const plan = host.plan(['/bin/sh', '-c', 'ulimit -Hn; ulimit -Sc'], {
        ulimits: [
          { name: 'nofile', soft: 2 ** 40, hard: 2 ** 40 },
          { name: 'core', soft: 0, hard: 0 },
        ],
      });
      if (!host.ceiling('nofile')) return t.skip('this process may set any limit: there is no ceiling');
      const handle = await host.driver.start(plan);
      await host.driver.wait(plan.id, handle);
      assert.deepEqual((await host.said(plan)).out.trim().split('\n'), [String(host.ceiling('nofile')), '0']);
      const { ulimitsLowered } = await host.driver.inspect(plan.id, handle);
      assert.equal(ulimitsLowered, `nofile to ${host.ceiling('nofile')}`);
      await host.driver.destroy(plan.id);
    });

    it('root inside is not root on the host, and everything of the task is in its cgroup', async () => {
      const { id, handle } = await sleeping();
      const pids = host.cgroup.pids(id);
      assert.ok(pids.length > 0);
      const { pid } = JSON.parse(handle) as { pid: number };
      assert.ok(pids.includes(pid));
      assert.notEqual(host.statusOf(pid, 'Uid').split('\t')[0], '0');
      const other = await exec(id, handle, ['/bin/sh', '-c', 'id -u']);
      assert.equal(other.out, '0\n');
      await host.driver.destroy(id);
    });

    it('a signal reaches a task whose runtime state was damaged, and its end is noticed', async () => {
      const { id, handle } = await sleeping();
      for (const name of readdirSync(host.runtimeState).filter((each) => each.includes(id)))
        rmSync(path.join(host.runtimeState, name), { recursive: true, force: true });
      await host.driver.signal(id, handle, 9);
      assert.equal((await host.driver.wait(id, handle)).code, 137);
      await host.driver.destroy(id);
      assert.deepEqual(host.traces(id), []);
    });

    it('the files of a stopped instance can be read and written, and its next run sees them', async () => {
      const plan = host.plan(['/bin/sh', '-c', 'cat /full/*; echo written >/full/own']);
      const first = await host.driver.start(plan);
      await host.driver.wait(plan.id, first);
      await host.driver.release(plan.id);
      const archive = await buffer(await host.driver.readArchive(plan, undefined, '/full'));
      assert.ok(archive.includes('full/own') && archive.includes('written'));
      await host.driver.writeArchive(plan, undefined, '/', Readable.from([archive]));
      await assert.rejects(host.driver.readArchive(plan, undefined, '/not/here'), { code: 'no_such_path' });
      await assert.rejects(host.driver.writeArchive(plan, undefined, '/not/here', Readable.from([archive])), {
        code: 'no_such_path',
      });
      assert.deepEqual(host.traces(plan.id), []);
      const second = await host.driver.start(plan);
      await host.driver.wait(plan.id, second);
      assert.match((await host.said(plan)).out, /written\n$/);
      await host.driver.destroy(plan.id);
    });

    it('release and destroy may be called again and on what never was; then nothing is left', async () => {
      const { id } = await sleeping();
      assert.ok((await host.driver.leftovers()).includes(id));
      await host.driver.release(id);
      assert.deepEqual(host.traces(id), []);
      assert.ok((await host.driver.leftovers()).includes(id), 'what it has written stays');
      await host.driver.release(id);
      for (const _time of [1, 2]) await host.driver.destroy(id);
      assert.ok(!(await host.driver.leftovers()).includes(id));
      await host.driver.destroy('f'.repeat(32));
    });

    it('what lies about on the host is found by its name', async () => {
      const { id } = await sleeping();
      writeFileSync(path.join(host.paths.run, 'instances', 'README'), 'no instance');
      const found = await host.driver.leftovers();
      assert.ok(found.includes(id));
      assert.ok(found.every((each) => /^[0-9a-f]{32}$/.test(each)));
      await host.driver.destroy(id);
    });
  });
}
