/** Linux system calls that Node lacks, typed, with errno names in their errors. It decides nothing and keeps no state. */
import { constants } from 'node:os';
import koffi from 'koffi';

const libc = koffi.load(null);
const callWithNumbers = libc.func('long syscall(long number, long a, long b, long c, long d, long e)');
const callWithPath = libc.func('long syscall(long number, long fd, str path, long a, long b, long c)');
const callWithBuffer = libc.func('long syscall(long number, long fd, str path, void *buffer, long size, long unused)');
const callSetattr = libc.func('long syscall(long number, long fd, str path, long flags, void *attr, long size)');
const callMount = libc.func('long syscall(long number, str source, str target, str type, long flags, str data)');
const callUmount = libc.func('long syscall(long number, str target, long flags)');
const callMove = libc.func('long syscall(long number, long from, str fromPath, long to, str toPath, long flags)');
const callConfig = libc.func('long syscall(long number, long fd, long command, str key, str value, long aux)');
const callFsopen = libc.func('long syscall(long number, str type, long flags)');
const callIoctl = libc.func('int ioctl(int fd, unsigned long request, void *data)');
const callSocket = libc.func('int socket(int family, int type, int protocol)');
const callClose = libc.func('int close(int fd)');
const callSend = libc.func('long send(int fd, void *data, size_t size, int flags)');
const callIoctlNumber = libc.func('int ioctl(int fd, unsigned long request, unsigned long value)');

/** The same on x86-64 and arm64 for every call since 5.0; the older ones differ. */
const NUMBER =
  process.arch === 'arm64' ? { mount: 40, umount2: 39, mkdirat: 34 } : { mount: 165, umount2: 166, mkdirat: 258 };
const OPEN_TREE = 428;
const MOVE_MOUNT = 429;
const FSOPEN = 430;
const FSCONFIG = 431;
const FSMOUNT = 432;
const OPENAT2 = 437;
const MOUNT_SETATTR = 442;

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const OPEN_TREE_CLONE = 1;
export const O_PATH = 0o10000000;
export const O_DIRECTORY = process.arch === 'arm64' ? 0o40000 : 0o200000;
const O_CLOEXEC = 0o2000000;
export const O_NONBLOCK = 0o4000;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_IN_ROOT = 0x10;
export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_REMOUNT = 32;
export const MS_BIND = 4096;
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;
export const MOUNT_ATTR_RDONLY = 0x1;
export const MOUNT_ATTR_NOSUID = 0x2;
export const MOUNT_ATTR_NODEV = 0x4;
export const MOUNT_ATTR_IDMAP = 0x100000;
const MS_PRIVATE = 1 << 18;
const MOVE_MOUNT_F_EMPTY_PATH = 4;

const errnoNames = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));

/** Like Node's own system errors: `code` is the errno's name. */
export class SyscallError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  constructor(syscall: string, errno: number, subject: string) {
    const code = errnoNames.get(errno) ?? `errno ${errno}`;
    super(`${syscall} ${subject}: ${code}`);
    this.name = 'SyscallError';
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
  }
}

function checked(result: number, syscall: string, subject: string): number {
  if (result >= 0) return result;
  throw new SyscallError(syscall, koffi.errno(), subject);
}

export function mount(source: string, target: string, type: string | null, flags: number, data: string | null): void {
  checked(callMount(NUMBER.mount, source, target, type, flags, data), 'mount', `${type ?? source} on ${target}`);
}

export function umount(target: string, flags = 0): void {
  checked(callUmount(NUMBER.umount2, target, flags), 'umount2', target);
}

/** `openat2(2)`; returns a file descriptor the caller closes with `fs.closeSync`. */
export function openat2(directory: number, path: string, flags: number, resolve: number, mode = 0): number {
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0);
  how.writeBigUInt64LE(BigInt(mode), 8);
  how.writeBigUInt64LE(BigInt(resolve), 16);
  return checked(callWithBuffer(OPENAT2, directory, path, how, how.length, 0), 'openat2', path);
}

export function mkdirat(directory: number, path: string, mode: number): void {
  checked(callWithPath(NUMBER.mkdirat, directory, path, mode, 0, 0), 'mkdirat', path);
}

/** Attaches a detached mount (`newMount`) at `target`. */
export function moveMount(detached: number, target: string): void {
  const result = callMove(MOVE_MOUNT, detached, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
  checked(result, 'move_mount', target);
}

/** A detached copy of what is mounted at `source`, which may be a file, and of all mounted below it. */
export function openTree(source: string): number {
  const flags = OPEN_TREE_CLONE | O_CLOEXEC | AT_RECURSIVE;
  return checked(callWithPath(OPEN_TREE, AT_FDCWD, source, flags, 0, 0), 'open_tree', source);
}

/** Sets attributes of a mount given by descriptor, and makes it private; `userNamespace` is the descriptor MOUNT_ATTR_IDMAP maps by. */
export function mountSetattr(
  mountFd: number,
  attributes: number,
  userNamespace?: number,
  options: { recursive: boolean } = { recursive: false },
): void {
  const attr = Buffer.alloc(32);
  attr.writeBigUInt64LE(BigInt(attributes), 0);
  attr.writeBigUInt64LE(BigInt(MS_PRIVATE), 16);
  attr.writeBigUInt64LE(BigInt(userNamespace ?? 0), 24);
  const flags = AT_EMPTY_PATH | (options.recursive ? AT_RECURSIVE : 0);
  const result = callSetattr(MOUNT_SETATTR, mountFd, '', flags, attr, attr.length);
  checked(result, 'mount_setattr', `0x${attributes.toString(16)}`);
}

/** A new, detached mount (fsopen, fsconfig, fsmount). Options given as `null` are flags. Takes any number of options of any length below 256 bytes. */
export function newMount(type: string, options: [key: string, value: string | null][], attributes: number): number {
  const context = checked(callFsopen(FSOPEN, type, 1), 'fsopen', type);
  try {
    for (const [key, value] of options) {
      const command = value === null ? 0 : 1;
      checked(callConfig(FSCONFIG, context, command, key, value, 0), 'fsconfig', `${type} ${key}=${value ?? ''}`);
    }
    checked(callConfig(FSCONFIG, context, 6, null, null, 0), 'fsconfig', `${type} create`);
    return checked(callWithNumbers(FSMOUNT, context, 1, attributes, 0, 0), 'fsmount', type);
  } finally {
    closeFd(context);
  }
}

export function ioctl(fd: number, request: number, data: Buffer | number): number {
  const result = typeof data === 'number' ? callIoctlNumber(fd, request, data) : callIoctl(fd, request, data);
  return checked(result, 'ioctl', `0x${request.toString(16)}`);
}

function closeFd(fd: number): void {
  callClose(fd);
}

const AF_NETLINK = 16;
const SOCK_RAW = 3;

/** One message to the kernel, which acts on it before this returns; its answer is not read. */
export function sendNetlink(protocol: number, message: Buffer): void {
  const fd = checked(callSocket(AF_NETLINK, SOCK_RAW | O_CLOEXEC, protocol), 'socket', 'netlink');
  try {
    checked(Number(callSend(fd, message, message.length, 0)), 'send', 'netlink');
  } finally {
    closeFd(fd);
  }
}
