/** Kernels fetched from the distribution's archive, by the real apt. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { moduleOrder } from '../../src/drivers/microvm/initramfs.ts';
import { GuestKernels } from '../../src/kernels/guest-kernel.ts';

function archiveAnswers(): boolean {
  try {
    const uris = execFileSync('apt-get', ['download', '--print-uris', 'linux-image-cloud-amd64'], { encoding: 'utf8' });
    const [, uri = ''] = /'([^']+)'/.exec(uris) ?? [];
    execFileSync('curl', ['-sfI', '--max-time', '10', uri], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const closed = archiveAnswers() ? false : 'NOT TESTED: the distribution’s archive does not answer';

test('a fetched kernel keeps what a guest needs and leaves nothing else behind', { skip: closed }, async (t) => {
  const data = mkdtempSync(path.join(tmpdir(), 'bulkhead-kernels-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  // A fetch that was killed long ago.
  const ruin = path.join(data, 'kernels/fetch-ruin');
  mkdirSync(ruin, { recursive: true });
  utimesSync(ruin, 1, 1);
  const kernels = new GuestKernels({ data });
  const [kernel, same] = await Promise.all([kernels.get({ shares: false }), kernels.get({ shares: false })]);
  assert.equal(kernel, same);
  assert.equal(kernel.flavour, 'cloud');
  assert.deepEqual(readdirSync(path.join(data, 'kernels')), ['cloud']);
  assert.ok(existsSync(kernel.image));
  assert.ok(kernel.modulesDir);
  const names = moduleOrder(kernel.modulesDir, [
    'virtio_mmio',
    'virtio_blk',
    'virtio_net',
    'squashfs',
    'overlay',
    'sd_mod',
  ]);
  assert.ok(names.some((module) => module.name === 'virtio_ring'));
  for (const module of names) assert.ok(existsSync(module.path), module.path);
  const kib = Number(execFileSync('du', ['-sk', kernel.modulesDir], { encoding: 'utf8' }).split('\t')[0]);
  assert.ok(kib < 30_000, `${kib} KiB of modules`);
});

test('a kernel of our own is used for everything where it was built', async (t) => {
  const data = mkdtempSync(path.join(tmpdir(), 'bulkhead-kernels-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  mkdirSync(path.join(data, 'kernels/own'), { recursive: true });
  execFileSync('sh', ['-c', 'cd "$1" && echo 6.12.0 >version && : >vmlinuz', 'sh', path.join(data, 'kernels/own')]);
  const kernel = await new GuestKernels({ data }).get({ shares: true });
  assert.deepEqual([kernel.flavour, kernel.release, kernel.modulesDir], ['own', '6.12.0', undefined]);
});
