/** A loop device over a file. The kernel frees it by itself with the last mount (autoclear), so a crash leaks none. */
import { closeSync, constants, openSync, readdirSync, readFileSync } from 'node:fs';
import { ioctl, SyscallError } from '../host/syscall.ts';

const LOOP_CTL_GET_FREE = 0x4c82;
const LOOP_CONFIGURE = 0x4c0a;
const READ_ONLY = 1;
const AUTOCLEAR = 4;
const DIRECT_IO = 16;
const ATTEMPTS = 64;

export interface LoopDevice {
  path: string;
  /** Close it once the device is mounted (or to give it up). */
  fd: number;
}

/**
 * struct loop_config of linux/loop.h: fd, block size, loop_info64 (flags at 52), reserved. Direct I/O keeps a second copy of
 * every page out of the cache; where the file system below cannot do it the kernel falls back to cached reads.
 */
function configuration(file: number, options: { directIo: boolean; readOnly: boolean }): Buffer {
  const { directIo, readOnly } = options;
  const config = Buffer.alloc(304);
  config.writeUInt32LE(file, 0);
  config.writeUInt32LE(directIo ? 4096 : 512, 4);
  config.writeUInt32LE((readOnly ? READ_ONLY : 0) | AUTOCLEAR | (directIo ? DIRECT_IO : 0), 8 + 52);
  return config;
}

/** Another process may take the free device first (EBUSY): then the next one is tried. */
export function attachLoop(file: string, options: { readOnly: boolean }): LoopDevice {
  const mode = options.readOnly ? constants.O_RDONLY : constants.O_RDWR;
  const backing = openSync(file, mode);
  const control = openSync('/dev/loop-control', constants.O_RDWR);
  try {
    for (let attempt = 0; ; attempt++) {
      const path = `/dev/loop${ioctl(control, LOOP_CTL_GET_FREE, 0)}`;
      const fd = openSync(path, mode);
      try {
        configure(fd, backing, options.readOnly);
        return { path, fd };
      } catch (error) {
        closeSync(fd);
        if (!(error instanceof SyscallError && error.code === 'EBUSY') || attempt >= ATTEMPTS) throw error;
      }
    }
  } finally {
    closeSync(control);
    closeSync(backing);
  }
}

/** The device that already shows `file`; two of one file would not know of each other. It stays while the descriptor is open. */
export function findLoop(file: string): LoopDevice | undefined {
  for (const name of readdirSync('/sys/block')) {
    if (!name.startsWith('loop') || backingFile(name) !== file) continue;
    const fd = openSync(`/dev/${name}`, constants.O_RDONLY);
    if (backingFile(name) === file) return { path: `/dev/${name}`, fd };
    closeSync(fd);
  }
  return undefined;
}

function backingFile(name: string): string | undefined {
  try {
    return readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').replace(/\n$/, '');
  } catch {
    // Not in use.
    return undefined;
  }
}

function configure(fd: number, backing: number, readOnly: boolean): void {
  try {
    ioctl(fd, LOOP_CONFIGURE, configuration(backing, { directIo: true, readOnly }));
  } catch (error) {
    if (!(error instanceof SyscallError && error.code === 'EINVAL')) throw error;
    ioctl(fd, LOOP_CONFIGURE, configuration(backing, { directIo: false, readOnly }));
  }
}
