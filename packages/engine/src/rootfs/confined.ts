/** Files below an untrusted root, reached by openat2(RESOLVE_IN_ROOT) only: no link in it can lead out. */
import { closeSync, constants, fchownSync, fstatSync, openSync, readlinkSync, readSync } from 'node:fs';
import path from 'node:path';
import { BulkheadError } from '@bulkhead/contract';
import {
  mkdirat,
  O_DIRECTORY,
  O_NONBLOCK,
  O_PATH,
  openat2,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  SyscallError,
} from '../host/syscall.ts';

const CONFINED = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
const ABSENT = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EISDIR', 'ENXIO']);

function withDirectory<T>(directory: string, body: (fd: number) => T): T {
  const fd = openSync(directory, O_PATH | O_DIRECTORY);
  try {
    return body(fd);
  } finally {
    closeSync(fd);
  }
}

/** Undefined where there is no regular file; `too_large` beyond `maxBytes`. */
export function readFileBelow(root: string, file: string, maxBytes: number): Buffer | undefined {
  return withDirectory(root, (rootFd) => {
    let fd: number;
    try {
      fd = openat2(rootFd, file, constants.O_RDONLY | O_NONBLOCK, CONFINED);
    } catch (error) {
      if (error instanceof SyscallError && ABSENT.has(error.code)) return undefined;
      throw error;
    }
    try {
      return fstatSync(fd).isFile() ? readAtMost(fd, file, maxBytes) : undefined;
    } finally {
      closeSync(fd);
    }
  });
}

function readAtMost(fd: number, file: string, maxBytes: number): Buffer {
  const buffer = Buffer.alloc(Math.min(fstatSync(fd).size, maxBytes) + 1);
  let length = 0;
  while (length < buffer.length) {
    const read = readSync(fd, buffer, length, buffer.length - length, null);
    if (read === 0) break;
    length += read;
  }
  if (length > maxBytes) throw new BulkheadError('too_large', `${file} is larger than ${maxBytes} bytes`);
  return buffer.subarray(0, length);
}

/** Makes the directories that are missing, owned by `ownerId`; returns the real path of the last one. */
export function ensureDirectoryBelow(root: string, directory: string, ownerId: number): string {
  const names = path.posix.normalize(`/${directory}`).split('/').filter(Boolean);
  return withDirectory(root, (rootFd) => {
    let current = openat2(rootFd, '/', O_PATH | O_DIRECTORY, CONFINED);
    try {
      for (let depth = 1; depth <= names.length; depth++) {
        const next = openOrMake(rootFd, current, names.slice(0, depth), ownerId);
        closeSync(current);
        current = next;
      }
      return readlinkSync(`/proc/self/fd/${current}`);
    } catch (error) {
      throw asMountError(error, directory);
    } finally {
      closeSync(current);
    }
  });
}

function openOrMake(rootFd: number, parent: number, names: string[], ownerId: number): number {
  const whole = names.join('/');
  try {
    return openat2(rootFd, whole, O_PATH | O_DIRECTORY, CONFINED);
  } catch (error) {
    if (!(error instanceof SyscallError && error.code === 'ENOENT')) throw error;
  }
  mkdirat(parent, names.at(-1)!, 0o755);
  const made = openat2(parent, names.at(-1)!, O_DIRECTORY, CONFINED);
  try {
    fchownSync(made, ownerId, ownerId);
  } finally {
    closeSync(made);
  }
  return openat2(rootFd, whole, O_PATH | O_DIRECTORY, CONFINED);
}

function asMountError(error: unknown, directory: string): unknown {
  if (!(error instanceof SyscallError)) return error;
  const reasons: Record<string, string> = {
    ENOTDIR: 'something on the way is not a directory',
    EEXIST: 'a link on the way leads nowhere',
    ELOOP: 'links on the way form a loop',
    EROFS: 'it does not exist and the root file system is read-only',
  };
  const reason = reasons[error.code];
  if (reason === undefined) return error;
  return new BulkheadError('invalid_mount', `cannot make ${directory} inside the instance: ${reason}`, {
    cause: error,
  });
}
