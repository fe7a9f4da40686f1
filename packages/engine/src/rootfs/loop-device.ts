/** A read-only loop device over a layer file. The kernel frees it by itself with the last mount (autoclear), so a crash leaks none. */
import { closeSync, constants, openSync } from 'node:fs';
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
function configuration(file: number, directIo: boolean): Buffer {
  const config = Buffer.alloc(304);
  config.writeUInt32LE(file, 0);
  config.writeUInt32LE(directIo ? 4096 : 512, 4);
  config.writeUInt32LE(READ_ONLY | AUTOCLEAR | (directIo ? DIRECT_IO : 0), 8 + 52);
  return config;
}

/** Another process may take the free device first (EBUSY): then the next one is tried. */
export function attachLoop(file: string): LoopDevice {
  const backing = openSync(file, constants.O_RDONLY);
  const control = openSync('/dev/loop-control', constants.O_RDWR);
  try {
    for (let attempt = 0; ; attempt++) {
      const path = `/dev/loop${ioctl(control, LOOP_CTL_GET_FREE, 0)}`;
      const fd = openSync(path, constants.O_RDONLY);
      try {
        configure(fd, backing);
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

function configure(fd: number, backing: number): void {
  try {
    ioctl(fd, LOOP_CONFIGURE, configuration(backing, true));
  } catch (error) {
    if (!(error instanceof SyscallError && error.code === 'EINVAL')) throw error;
    ioctl(fd, LOOP_CONFIGURE, configuration(backing, false));
  }
}
