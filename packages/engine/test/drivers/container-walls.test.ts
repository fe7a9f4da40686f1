/** What holds a container, looked at from inside of a real one. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Probe, probeProgram } from './call-probe.ts';
import { DriverHost } from './driver-host.ts';

const EPERM = 1;
const ENOSYS = 38;
/** Calls that reach for the kernel itself: whatever the arguments, the filter answers before the kernel looks at them. */
const REFUSED: Probe[] = ['mount', 'umount2', 'unshare', 'setns', 'keyctl', 'add_key', 'request_key', 'bpf', 'ptrace'];
REFUSED.push('perf_event_open', 'init_module', 'kexec_load', 'reboot', 'userfaultfd', 'io_uring_setup', 'swapon');

describe('a container’s walls', () => {
  let host: DriverHost;
  before(async () => {
    host = await DriverHost.make('container', probeProgram());
  });
  after(() => host?.dispose());

  const status = async () => {
    const { out } = await host.run(['/bin/cat', '/proc/self/status']);
    return (field: string): string => new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(out)?.[1] ?? '';
  };
  const probed = async (more = {}) => {
    const { out, err } = await host.run(['/bin/call-probe'], more);
    assert.notEqual(out, '', err);
    return JSON.parse(out) as Record<Probe, number>;
  };

  it('a filter is on, and the second start, with the filter the first has compiled, refuses the same', async () => {
    const first = { calls: await probed(), mode: (await status())('Seccomp') };
    const filters = path.join(host.paths.run, 'filters');
    assert.equal(readdirSync(filters).length, 1, 'the first start keeps what was compiled');
    const plan = host.plan(['/bin/call-probe']);
    const handle = await host.driver.start(plan);
    const bundle = JSON.parse(readFileSync(path.join(host.driver.bundleOf(plan.id), 'config.json'), 'utf8'));
    assert.ok(bundle.annotations['run.oci.seccomp_bpf_data'], 'the second takes it');
    await host.driver.wait(plan.id, handle);
    const second = JSON.parse((await host.said(plan)).out);
    assert.equal(first.mode, '2');
    assert.deepEqual(second, first.calls);
    for (const call of REFUSED) assert.equal(second[call], EPERM, call);
    await host.driver.destroy(plan.id);
  });

  it('the filter opens what a capability is for, and only that', async () => {
    const more = { capabilities: [...host.plan([]).capabilities, 'CAP_SYS_PTRACE'] };
    const calls = await probed(more);
    assert.notEqual(calls.ptrace, EPERM);
    for (const call of REFUSED.filter((each) => each !== 'ptrace')) assert.equal(calls[call], EPERM, call);
  });

  it('vsock and the kernel’s crypto sockets are closed, ordinary sockets are open', async () => {
    const calls = await probed();
    assert.deepEqual([calls.socket_vsock, calls.socket_alg], [EPERM, EPERM]);
    assert.deepEqual([calls.socket_inet, calls.socket_unix], [0, 0]);
  });

  it('no new namespace and no new user namespace, by clone as by unshare; a thread is fine', async () => {
    const calls = await probed();
    assert.equal(calls.clone_newuser, EPERM);
    assert.equal(calls.clone3, ENOSYS, 'libraries fall back to clone');
  });

  it('no capability beyond the list, and none to be had by a program with privileges of its own', async () => {
    const of = await status();
    for (const set of ['CapPrm', 'CapEff', 'CapBnd']) assert.equal(of(set), '00000000a80425fb', set);
    for (const set of ['CapInh', 'CapAmb']) assert.equal(BigInt(`0x${of(set)}`), 0n, set);
    assert.equal(of('NoNewPrivs'), '1');
    const none = await host.sh('grep Cap /proc/self/status', { capabilities: [] });
    assert.equal(none.out.match(/0000000000000000/g)?.length, 5);
    const user = await host.sh('grep CapEff /proc/self/status', { process: { user: 'app' } });
    assert.match(user.out, /0000000000000000/);
  });

  it('root inside is nobody on the host, and the host’s ids do not exist inside', async () => {
    const { out } = await host.sh('cat /proc/self/uid_map /proc/self/gid_map; cat /proc/self/setgroups');
    const map = host.rootfs.idMap();
    assert.ok(map, 'this kernel has user namespaces');
    assert.ok(map.hostId >= 65536);
    assert.equal(out.match(new RegExp(`^ *0 +${map.hostId} +${map.count}$`, 'gm'))?.length, 2);
  });

  it('what tells about the host is masked, what changes it is read-only', async () => {
    const masked = ['/proc/kcore', '/proc/keys', '/proc/timer_list', '/proc/interrupts'];
    for (const file of masked)
      assert.equal((await host.sh(`head -c 1 ${file} 2>/dev/null | wc -c`)).out.trim(), '0', file);
    for (const folder of ['/sys/firmware', '/sys/kernel', '/sys/module', '/sys/block', '/proc/acpi'])
      assert.equal((await host.sh(`ls -A ${folder} 2>/dev/null`)).out, '', folder);
    const writes = ['/proc/sys/kernel/panic', '/proc/sysrq-trigger', '/proc/irq/x', '/sys/x', '/sys/fs/cgroup/x'];
    for (const file of writes)
      assert.match((await host.sh(`echo 1 >${file}`)).err, /read-only|permission denied|nonexistent/i, file);
  });

  it('devices: those every container has, and no node of another opens', async () => {
    const { out } = await host.sh(
      'ls /dev; for d in null zero full random urandom tty; do [ -c /dev/$d ] || echo no $d; done',
    );
    assert.doesNotMatch(out, /^no /m);
    for (const name of out.trim().split('\n'))
      assert.match(name, /^(console|core|fd|full|mqueue|null|ptmx|pts|random|shm|std(in|out|err)|tty|urandom|zero)$/);
    const made = await host.sh(
      'mknod /tmp/mem c 1 1 && dd if=/tmp/mem bs=1 count=1; mknod /tmp/loop b 7 0 && dd if=/tmp/loop bs=1 count=1',
    );
    assert.doesNotMatch(made.err, /records in/);
    const plan = host.plan(['/bin/sleep', '300']);
    await host.driver.start(plan);
    const { version, mounts } = host.cgroup.setup;
    if (version === 1) {
      const [list = ''] = host.cgroup.directories(plan.id).filter((each) => each.startsWith(mounts.devices ?? '?'));
      const rules = readFileSync(path.join(list, 'devices.list'), 'utf8');
      assert.doesNotMatch(rules, /^a /m);
      assert.match(rules, /^c 1:3 rwm$/m);
      assert.doesNotMatch(rules, /^[cb] \*:\* \S*[rw]/m);
    }
    await host.driver.destroy(plan.id);
  });

  it('sees its own processes, mounts and host name only, and has its own keys, semaphores and queues', async () => {
    const { out } = await host.sh(
      'ls /proc | grep -c "^[0-9]*$"; hostname; cat /proc/self/cgroup; cat /proc/self/mounts',
    );
    const lines = out.split('\n');
    assert.ok(Number(lines[0]) <= 3);
    assert.equal(lines[1], 'testhost');
    assert.ok(
      !out.includes(`bulkhead-${host.paths.tag}`) || !/^\d+:.*bulkhead-/m.test(out),
      'cgroups begin at its own',
    );
    const kinds = ['ipc', 'pid', 'net', 'uts', 'mnt', 'user', 'cgroup'];
    const { out: shown } = await host.sh(`for kind in ${kinds.join(' ')}; do readlink /proc/self/ns/$kind; done`);
    for (const space of shown.trim().split('\n')) {
      const kind = space.split(':')[0] ?? '';
      assert.notEqual(space, host.namespaceOf(kind), kind);
    }
    assert.equal(shown.trim().split('\n').length, kinds.length);
  });
});
