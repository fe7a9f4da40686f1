/* Makes system calls a task must not be able to make, with arguments that do no harm, and prints the error of each as JSON. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int count;

static void tell(const char *name, long result) {
	int error = result < 0 ? errno : 0;
	printf("%s\"%s\":%d", count++ ? "," : "{", name, error);
}

#define CALL(name, ...) errno = 0, tell(#name, syscall(SYS_##name, __VA_ARGS__))

int main(void) {
	CALL(mount, 0, 0, 0, 0, 0);
	CALL(umount2, "/no/such/place", 0);
	CALL(unshare, CLONE_NEWUSER);
	CALL(setns, -1, 0);
	CALL(keyctl, 0, -3, 0, 0, 0);
	CALL(add_key, 0, 0, 0, 0, 0);
	CALL(request_key, 0, 0, 0, 0);
	CALL(bpf, -1, 0, 0);
	CALL(ptrace, -1, 0, 0, 0);
	CALL(perf_event_open, 0, 0, 0, -1, 0);
	CALL(init_module, 0, 0, 0);
	CALL(kexec_load, 0, 0, 0, -1);
	CALL(reboot, 0, 0, 0, 0);
	CALL(userfaultfd, -1);
	CALL(io_uring_setup, 0, 0);
	CALL(swapon, 0, 0);
	CALL(clone3, 0, 0);
	errno = 0;
	long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	if (child == 0) _exit(0);
	tell("clone_newuser", child);
	errno = 0, tell("socket_vsock", socket(40, SOCK_STREAM, 0));
	errno = 0, tell("socket_alg", socket(38, SOCK_SEQPACKET, 0));
	errno = 0, tell("socket_inet", socket(AF_INET, SOCK_STREAM, 0));
	errno = 0, tell("socket_unix", socket(AF_UNIX, SOCK_STREAM, 0));
	puts("}");
	return 0;
}
