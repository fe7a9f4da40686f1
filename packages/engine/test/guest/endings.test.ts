/** How tasks end on a real kernel: all their output first, the true reason, and what they wrote on the disk. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cannotBoot, machineConfig, processOf, TestMachine } from './machine.ts';

test('megabytes written just before the end all arrive, and the disk keeps its file', {
  skip: cannotBoot,
  timeout: 60_000,
}, async (t) => {
  const machine = new TestMachine(t, (directory) => {
    const disk = join(directory, 'disk');
    writeFileSync(disk, '');
    truncateSync(disk, 64 << 20);
    execFileSync('mkfs.ext4', ['-q', '-F', disk]);
    return [
      '-drive',
      `id=upper,if=none,format=raw,file=${disk}`,
      '-device',
      'virtio-blk-device,drive=upper,serial=upper',
    ];
  });
  const channel = await machine.connect();
  t.after(() => channel.close());
  await channel.configure(
    machineConfig({ layers: [{ device: 'layer', fsType: 'squashfs' }], upper: { device: 'upper', fsType: 'ext4' } }),
  );
  await channel.startTask(processOf(['sh', '-c', 'echo kept > /kept; seq 600000; exit 3'], { init: true }));
  assert.deepEqual(await channel.waitTask(), { code: 3, oomKilled: false });
  await channel.powerOff();
  await machine.ended;
  const lines = machine.read('stdout').split('\n');
  assert.equal(lines.length, 600_001);
  assert.equal(lines[599_999], '600000');
  const seen = execFileSync('debugfs', ['-R', 'cat /upper/kept', join(machine.directory, 'disk')], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  assert.equal(seen, 'kept\n');
});

test('a task that eats the memory is killed, and that is said', { skip: cannotBoot, timeout: 60_000 }, async (t) => {
  const machine = new TestMachine(t);
  const channel = await machine.connect();
  t.after(() => channel.close());
  await channel.configure(machineConfig({ readOnlyRoot: true }));
  await channel.startTask(processOf(['tail', '/dev/zero']));
  assert.deepEqual(await channel.waitTask(), { code: 137, oomKilled: true });
  await channel.powerOff();
  await machine.ended;
});
