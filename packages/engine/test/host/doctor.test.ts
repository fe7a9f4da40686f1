/** The doctor on this very host, and each of its judgements on a host that is not there. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { cgroupsProbe, prepareCgroups, readHierarchies } from '../../src/host/checks/cgroups.ts';
import { cpuFlawsProbe, ksmProbe, smtProbe } from '../../src/host/checks/posture.ts';
import { type Probe, program, runProbe, words } from '../../src/host/checks/probe.ts';
import { reachProbe, storageProbe } from '../../src/host/checks/storage.ts';
import { kvmProbe } from '../../src/host/checks/virtualisation.ts';
import { Doctor } from '../../src/host/doctor.ts';
import { hostPaths } from '../../src/host/paths.ts';
import type { Fingerprint } from '../../src/ports/driver.ts';

const CONTAINER: Fingerprint = { level: 'container', available: true, holds: 'namespaces', detail: {} };
const microvm = (changes: Partial<Fingerprint>): Fingerprint => ({
  level: 'microvm',
  available: true,
  holds: 'a machine',
  detail: {},
  ...changes,
});

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'bulkhead-doctor-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What this process and its children could leave on the host. */
function traces(): string[] {
  const loops = execFileSync('losetup', ['-n', '-O', 'BACK-FILE'], { encoding: 'utf8' }).split('\n');
  return [
    ...readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes('doctor-')),
    ...loops.filter((line) => line.includes('doctor-')),
    ...globSync('/sys/fs/cgroup/**/*doctor-*'),
    ...execFileSync('ps', ['-eo', 'args='], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => /bulkhead-doctor-.*\/doctor-/.test(line)),
  ];
}

describe('the doctor on this host', () => {
  it('answers everything in 15 s, says what each finding means, and leaves nothing', async (t) => {
    const folder = folderOf(t);
    // As /var/lib: root inside a user namespace must be able to come here.
    chmodSync(folder, 0o711);
    const data = path.join(folder, 'data');
    const asked: boolean[] = [];
    const doctor = new Doctor({
      paths: hostPaths(data),
      fingerprints: async (refresh) => {
        asked.push(refresh);
        return [CONTAINER];
      },
      others: async () => [{ name: 'network', status: 'ok', found: 'a bridge', means: 'instances can talk' }],
    });
    const began = performance.now();
    const { checks, levels } = await doctor.run();
    assert.ok(performance.now() - began < 15_000);
    assert.deepEqual(levels, [CONTAINER]);
    for (const check of checks) {
      assert.notEqual(check.found, '', check.name);
      assert.notEqual(check.means, '', check.name);
      if (check.status !== 'ok') assert.ok(check.fix, `${check.name} has a fix`);
      t.diagnostic(`${check.status} ${check.name}: ${check.found}`);
    }
    const names = checks.map((check) => check.name);
    for (const name of ['cgroups', 'crun', 'runc', 'runsc', 'KVM', 'QEMU', 'overlay on squashfs', 'overlay on erofs']) {
      assert.ok(names.includes(name), name);
    }
    assert.equal(new Set(names).size, names.length);
    assert.equal(names.at(-1), 'network');
    // What the engine cannot do without is set up wherever these tests run.
    const status = new Map(checks.map((check) => [check.name, check.status]));
    for (const name of ['cgroups', 'conmon', 'user namespaces', 'overlay on squashfs', 'skopeo', 'data directory']) {
      assert.equal(status.get(name), 'ok', name);
    }
    assert.ok(status.get('crun') === 'ok' || status.get('runc') === 'ok');
    assert.deepEqual(readdirSync(data), []);
    assert.deepEqual(traces(), []);

    const again = performance.now();
    assert.equal((await doctor.run()).checks, checks);
    assert.ok(performance.now() - again < 100, 'the second answer is the first');
    assert.deepEqual(asked, [false, false]);
  });

  it('says in one line that the data directory cannot be written', async () => {
    const check = await runProbe(storageProbe('/proc/bulkhead'));
    assert.equal(check.status, 'failed');
    assert.match(check.means, /nothing can be pulled/);
    assert.match(check.fix ?? '', /--data/);
  });
});

describe('the way to the data directory', () => {
  it('is closed where one directory above it lets only its owner through', async (t) => {
    const folder = folderOf(t);
    const data = path.join(folder, 'a/data');
    mkdirSync(data, { recursive: true, mode: 0o711 });
    const closed = await runProbe(reachProbe([data]));
    assert.equal(closed.status, 'failed');
    assert.equal(closed.fix, `chmod o+x ${folder}`);
    chmodSync(folder, 0o711);
    assert.equal((await runProbe(reachProbe([data]))).status, 'ok');
  });
});

describe('a probe', () => {
  const probe = (run: Probe['run']): Probe => ({
    name: 'p',
    means: 'nothing works',
    fix: 'mend it',
    limitMs: 300,
    run,
  });

  it('that hangs is a failed check at its limit, and its program is ended', async () => {
    let pid = 0;
    const check = await runProbe(
      probe(async (signal) => {
        const result = await program('sh', ['-c', 'echo $$; sleep 60 & wait'], { signal });
        pid = Number(result.stdout);
        return { status: 'ok', found: '', means: '' };
      }),
    );
    assert.deepEqual(check, {
      name: 'p',
      status: 'failed',
      found: 'no answer within 0.3 s',
      means: 'nothing works',
      fix: 'mend it',
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    const group = execFileSync('ps', ['-eo', 'pgid=,stat='], { encoding: 'utf8' })
      .split('\n')
      .map((line) => line.trim().split(/\s+/));
    // A zombie that nobody has reaped yet has ended, too.
    assert.deepEqual(
      group.filter(([id, state]) => Number(id) === pid && !state?.startsWith('Z')),
      [],
    );
  });

  it('that throws is a failed check', async () => {
    const check = await runProbe(probe(() => Promise.reject(new Error('broken\nbadly'))));
    assert.equal(check.status, 'failed');
    assert.equal(check.found, 'Error: broken');
  });

  it('of a program that is not there says so', async () => {
    assert.equal(words(await program('bulkhead-has-no-such-program', [])), 'not installed');
  });
});

describe('cgroups', () => {
  const info = (place: string, type: string, options: string) => `1 2 0:3 / ${place} rw - ${type} none rw,${options}`;

  it('are read from the mounts, named hierarchies left out', () => {
    const text = [
      info('/c/cpu', 'cgroup', 'cpu,cpuacct'),
      info('/c/systemd', 'cgroup', 'xattr,name=systemd'),
      info('/c/with\\040space', 'cgroup', 'memory'),
      info('/tmp', 'tmpfs', 'size=1'),
    ].join('\n');
    assert.deepEqual(readHierarchies(text), [
      { path: '/c/cpu', version: 1, controllers: ['cpu', 'cpuacct'] },
      { path: '/c/with space', version: 1, controllers: ['memory'] },
    ]);
  });

  it('in a hybrid layout get the command that mends it', async (t) => {
    const folder = folderOf(t);
    const v1 = {
      path: path.join(folder, 'cpu'),
      version: 1 as const,
      controllers: ['cpu', 'devices', 'freezer', 'memory', 'pids'],
    };
    const v2 = { path: path.join(folder, 'unified'), version: 2 as const, controllers: ['hugetlb'] };
    mkdirSync(v1.path);
    const check = await runProbe(cgroupsProbe(() => [v1, v2]));
    assert.equal(check.status, 'warning');
    assert.match(check.found, /hybrid: hugetlb on v2/);
    assert.match(check.fix ?? '', new RegExp(`mount -t cgroup -o hugetlb cgroup ${folder}/hugetlb`));
  });

  it('without a controller that is needed are a failure', async (t) => {
    const v2 = { path: folderOf(t), version: 2 as const, controllers: ['cpu', 'pids'] };
    const check = await runProbe(cgroupsProbe(() => [v2]));
    assert.equal(check.status, 'failed');
    assert.match(check.found, /missing: memory/);
  });

  it('are prepared once: the second time there is nothing to do', () => {
    prepareCgroups();
    assert.deepEqual(prepareCgroups().mounted, []);
  });
});

describe('KVM', () => {
  const check = (fingerprint: Fingerprint | undefined) =>
    runProbe(kvmProbe(async () => (fingerprint ? [fingerprint] : [])));

  it('is there only when it has booted a kernel', async () => {
    assert.equal((await check(microvm({ detail: { accelerator: 'kvm' } }))).status, 'ok');
    assert.equal((await check(microvm({ detail: { accelerator: 'tcg' } }))).status, 'warning');
    assert.match((await check(microvm({ available: false, reason: 'no QEMU' }))).found, /not tried.*no QEMU/);
    assert.equal((await check(undefined)).status, 'warning');
  });
});

describe('the posture of the machine', () => {
  const tree = (t: TestContext, files: Record<string, string>): string => {
    const root = folderOf(t);
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
      writeFileSync(path.join(root, name), text);
    }
    return root;
  };

  it('warns of merged pages, of sibling threads, of open flaws', async (t) => {
    const root = tree(t, {
      'sys/kernel/mm/ksm/run': '1\n',
      'sys/devices/system/cpu/smt/control': 'on\n',
      'sys/devices/system/cpu/vulnerabilities/mds': 'Vulnerable; SMT vulnerable\n',
      'sys/devices/system/cpu/vulnerabilities/l1tf': 'Not affected\n',
    });
    for (const probe of [ksmProbe(root), smtProbe(root), cpuFlawsProbe(root)]) {
      const check = await runProbe(probe);
      assert.equal(check.status, 'warning', check.name);
      assert.ok(check.fix);
    }
    assert.match((await runProbe(cpuFlawsProbe(root))).found, /: mds$/);
  });

  it('is content with a machine that shares nothing', async (t) => {
    const root = tree(t, {
      'sys/devices/system/cpu/smt/control': 'forceoff\n',
      'sys/devices/system/cpu/vulnerabilities/mds': 'Not affected\n',
    });
    for (const probe of [ksmProbe(root), smtProbe(root), cpuFlawsProbe(root)]) {
      assert.equal((await runProbe(probe)).status, 'ok', probe.name);
    }
  });
});
