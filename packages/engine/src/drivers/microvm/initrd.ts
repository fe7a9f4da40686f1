/** The initramfs for a kernel and what a guest needs of it: built once, kept beside the kernel under a name made of its content. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { GuestKernel } from '../../ports/vmm.ts';
import { buildInitramfs, moduleOrder } from './initramfs.ts';

const BASE_MODULES = [
  'virtio_mmio',
  'virtio_blk',
  'virtio_net',
  'virtio_console',
  'squashfs',
  'overlay',
  'ext4',
  'crc32c_generic',
  'virtio_rng',
];
const SCSI_MODULES = ['virtio_scsi', 'sd_mod'];
const SHARE_MODULES = ['9pnet_virtio', '9p'];

export interface InitrdParts {
  initPath: string;
  busyboxPath: string;
}

export function initrd(kernel: GuestKernel, parts: InitrdParts, needs: { scsi: boolean; shares: boolean }): string {
  const wanted = [...BASE_MODULES, ...(needs.scsi ? SCSI_MODULES : []), ...(needs.shares ? SHARE_MODULES : [])];
  const identity = createHash('sha256')
    .update(readFileSync(parts.initPath))
    .update(`${kernel.release} ${wanted.join(' ')}`)
    .digest('hex')
    .slice(0, 12);
  const file = path.join(kernel.folder, `initramfs-${identity}`);
  if (existsSync(file)) return file;
  mkdirSync(kernel.folder, { recursive: true });
  const modules = kernel.modulesDir === undefined ? [] : moduleOrder(kernel.modulesDir, wanted);
  const partial = `${file}.${process.pid}`;
  writeFileSync(partial, buildInitramfs({ ...parts, modules }), { mode: 0o644 });
  renameSync(partial, file);
  return file;
}
