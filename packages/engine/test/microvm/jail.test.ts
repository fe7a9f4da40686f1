/** The monitor's jail, as the host's kernel sees it; and a guest on a network of the engine. */
import assert from 'node:assert/strict';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { LinuxNetwork } from '../../src/network/linux-network.ts';
import { Bench } from './bench.ts';

function monitorOf(bench: Bench, id: string): number {
  const found = bench.cgroup.pids(id).find((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('qemu'));
  assert.ok(found !== undefined, 'QEMU runs in the cgroup of its instance');
  return found;
}

const status = (pid: number, field: string): string =>
  new RegExp(`^${field}:[ \\t]*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';

test('a monitor has a user of its own, no capability, filters, namespaces, and nothing but itself and its disks', async (t) => {
  const bench = await Bench.open(t);
  const layer = bench.baseLayer();
  const plans = [bench.plan([layer], ['/bin/sleep', '1000']), bench.plan([layer], ['/bin/sleep', '1000'])];
  const handles: string[] = [];
  for (const plan of plans) handles.push(await bench.driver.start(plan));
  const [first, second] = plans.map((plan) => monitorOf(bench, plan.id)) as [number, number];

  const uids = status(first, 'Uid').split('\t');
  assert.equal(new Set(uids).size, 1);
  assert.ok(Number(uids[0]) > 65_536, uids[0]);
  assert.notEqual(uids[0], status(second, 'Uid').split('\t')[0]);
  assert.equal(status(first, 'Groups'), '');
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    assert.equal(Number(`0x${status(first, set)}`), 0);
  assert.equal(status(first, 'NoNewPrivs'), '1');
  assert.equal(status(first, 'Seccomp'), '2');
  for (const name of ['mnt', 'pid', 'ipc', 'uts', 'net'])
    assert.notEqual(readlinkSync(`/proc/${first}/ns/${name}`), readlinkSync(`/proc/self/ns/${name}`), name);

  const root = `/proc/${first}/root`;
  assert.deepEqual(readdirSync(path.join(root, 'disks')).sort(), ['0', '1']);
  assert.deepEqual(readdirSync(path.join(root, 'usr/bin')), [path.basename(readlinkSync(`/proc/${first}/exe`))]);
  // What the OCI runtime makes in every container; a tap comes only with a network.
  assert.deepEqual(
    readdirSync(path.join(root, 'dev'))
      .filter((name) => name !== 'kvm' && lstatSync(path.join(root, 'dev', name)).isCharacterDevice())
      .sort(),
    ['full', 'null', 'random', 'tty', 'urandom', 'zero'],
  );
  assert.equal(existsSync(path.join(root, 'dev/net')), false);
  for (const place of ['bin', 'home', 'root', 'var', 'run', 'boot'])
    assert.equal(existsSync(path.join(root, place)), false, place);
  const facts = await bench.driver.inspect(plans[0]?.id ?? '', handles[0]);
  assert.equal(facts.jailUid, uids[0]);
  assert.match(`${facts.vmm} ${facts.accelerator} ${facts.machine}`, /^qemu \d+\.\d+\S* (kvm|tcg) microvm$/);
});

test('a monitor with shares has its few capabilities in a user namespace only', async (t) => {
  const bench = await Bench.open(t);
  const mounts = [{ type: 'bind' as const, source: '/etc/hostname', target: '/etc/name', readOnly: true }];
  const plan = bench.plan([bench.baseLayer()], ['/bin/sleep', '1000'], { mounts });
  await bench.driver.start(plan);
  const pid = monitorOf(bench, plan.id);
  assert.notEqual(readlinkSync(`/proc/${pid}/ns/user`), readlinkSync('/proc/self/ns/user'));
  // CHOWN, DAC_OVERRIDE, FOWNER, FSETID.
  assert.equal(Number(`0x${status(pid, 'CapBnd')}`), 0b11011);
});

test('the guest has the address of its lease, and packets pass both ways', async (t) => {
  const bench = await Bench.open(t);
  const network = new LinuxNetwork({ paths: bench.paths, poolSize: 1 });
  t.after(() => network.destroyAll());
  const record = await network.create({ name: 'quay', internal: false, labels: {} });
  const ids = ['1', '2'].map((digit) => digit.repeat(32));
  const [server, client] = await Promise.all(ids.map((id, index) => network.acquire(record, id, [`boat${index}`])));
  assert.ok(server && client);
  const layer = bench.baseLayer();
  const listen = '/bin/busybox nc -l -p 8080 -e /bin/echo ahoy';
  await bench.driver.start(bench.plan([layer], ['/bin/sh', '-c', listen], { id: ids[0] ?? '', lease: server }));
  const call = `/bin/busybox ip -o -4 addr show dev eth0; /bin/busybox nc -w 20 ${server.ip} 8080 </dev/null`;
  const { stdout } = await bench.run(bench.plan([layer], ['/bin/sh', '-c', call], { id: ids[1] ?? '', lease: client }));
  assert.match(
    stdout.toString(),
    new RegExp(`inet ${client.ip.replaceAll('.', '\\.')}/${client.prefixLength} .*\nahoy\n`, 's'),
  );
  for (const [index, lease] of [server, client].entries()) {
    await bench.driver.release(ids[index] ?? '');
    await network.free(ids[index] ?? '', lease);
  }
});
