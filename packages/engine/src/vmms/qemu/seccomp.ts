/** The system calls a jailed QEMU may make: an allowlist; what would only serve a break-out ends it at once. Pure data. */

const words = (text: string): string[] => text.trim().split(/\s+/);

/** Memory, threads, time, files by descriptor, sockets of its own: what the machine itself needs. */
const MACHINE = words(`
accept accept4 access arch_prctl bind brk chdir clock_getres clock_gettime clock_nanosleep close close_range connect
dup dup2 dup3 epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd2 execve exit exit_group faccessat
faccessat2 fadvise64 fallocate fchdir fcntl fdatasync flock fstat fstatfs fsync ftruncate futex futex_waitv
get_mempolicy get_robust_list getcwd getdents64 getegid geteuid getgid getgroups getpeername getpgrp getpid getppid
getrandom getrlimit getrusage getsockname getsockopt gettid gettimeofday getuid ioctl listen lseek lstat madvise mbind
membarrier memfd_create mincore mlock mlock2 mmap mprotect mremap msync munlock munmap nanosleep newfstatat open openat
pause pipe2 poll ppoll prctl pread64 preadv preadv2 prlimit64 pselect6 pwrite64 pwritev pwritev2 read readlink
readlinkat readv recvfrom recvmsg restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn
rt_sigsuspend rt_sigtimedwait sched_getaffinity sched_getparam sched_getscheduler sched_yield seccomp select sendmsg
sendto set_mempolicy set_robust_list set_tid_address setsockopt shutdown sigaltstack signalfd4 socketpair stat statfs
statx sync_file_range sysinfo tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime
timerfd_create timerfd_gettime timerfd_settime umask uname unlink unlinkat wait4 write writev
`);

/** The 9p server: it makes, names and owns files for the guest. */
const SHARES = words(`
chmod chown copy_file_range fchmod fchmodat fchmodat2 fchown fchownat fgetxattr flistxattr fremovexattr fsetxattr
getxattr lchown lgetxattr link linkat listxattr llistxattr lremovexattr lsetxattr mkdir mkdirat mknod mknodat removexattr
rename renameat renameat2 rmdir setxattr symlink symlinkat syncfs truncate utime utimensat utimes
`);

/** No version of QEMU makes these: whoever does is no QEMU any more. */
const FATAL = words(`
acct add_key bpf chroot clock_settime create_module delete_module finit_module fsconfig fsmount fsopen fspick
init_module ioperm iopl kexec_file_load kexec_load keyctl lookup_dcookie mount mount_setattr move_mount move_pages
name_to_handle_at open_by_handle_at open_tree perf_event_open personality pidfd_getfd pivot_root process_vm_readv
process_vm_writev ptrace quotactl reboot request_key setdomainname sethostname setns settimeofday swapoff swapon syslog
umount2 unshare userfaultfd vhangup
`);

const EPERM = 1;
const ENOSYS = 38;
const AF_UNIX = 1;
/** CLONE_NEW* of namespaces.h. */
const NAMESPACE_FLAGS = 0x7e020000;
const ARCHITECTURES: Record<string, string> = { x64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' };

/** `linux.seccomp` of the OCI runtime specification, for the native architecture only. */
export function vmmSeccomp(needs: { shares: boolean }, architecture: string = process.arch): unknown {
  const native = ARCHITECTURES[architecture];
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: EPERM,
    architectures: native === undefined ? [] : [native],
    syscalls: [
      { names: [...MACHINE, ...(needs.shares ? SHARES : [])], action: 'SCMP_ACT_ALLOW' },
      { names: FATAL, action: 'SCMP_ACT_KILL_PROCESS' },
      {
        names: ['clone'],
        action: 'SCMP_ACT_ALLOW',
        args: [{ index: 0, value: NAMESPACE_FLAGS, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
      },
      // glibc falls back to clone, whose flags can be seen by a filter.
      { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
      { names: ['socket'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: AF_UNIX, op: 'SCMP_CMP_EQ' }] },
    ],
  };
}
