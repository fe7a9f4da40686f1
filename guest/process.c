/* Starts processes in the task's root: as PID 1 of a namespace of their own, or beside it. */
#define _GNU_SOURCE
#include "guest.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUSYBOX "/.bulkhead/busybox"

struct process *read_process(struct reader *r) {
  struct process *p = calloc(1, sizeof *p);
  p->args = read_list(r);
  p->env = read_list(r);
  p->cwd = read_string(r, NULL);
  p->user = read_string(r, NULL);
  p->groups = read_list(r);
  p->tty = read8(r);
  p->wants_stdin = read8(r);
  p->capabilities = read64(r);
  p->limit_count = read32(r);
  if (p->limit_count > 32) { r->bad = 1; p->limit_count = 0; }
  p->limits = calloc(p->limit_count + 1, sizeof *p->limits);
  for (uint32_t i = 0; i < p->limit_count; i++) p->limits[i] = (struct limit){read32(r), read64(r), read64(r)};
  p->no_new_privileges = read8(r);
  p->pids_limit = read32(r);
  p->init = read8(r);
  if (!p->args[0]) r->bad = 1;
  return p;
}

static void free_list(char **list) {
  for (char **s = list; *s; s++) free(*s);
  free(list);
}

void free_process(struct process *p) {
  free_list(p->args); free_list(p->env); free_list(p->groups);
  free(p->cwd); free(p->user); free(p->limits); free(p);
}

int open_terminal(int *master, int *slave) {
  *master = open(ROOT "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  int unlock = 0, number;
  if (*master < 0 || ioctl(*master, TIOCSPTLCK, &unlock) || ioctl(*master, TIOCGPTN, &number)) return -1;
  char path[64];
  snprintf(path, sizeof path, ROOT "/dev/pts/%d", number);
  *slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
  return *slave < 0 ? -1 : 0;
}

static const char *environment(char **env, const char *name) {
  size_t n = strlen(name);
  for (; *env; env++) if (!strncmp(*env, name, n) && (*env)[n] == '=') return *env + n + 1;
  return NULL;
}

static void refuse(int report, struct failure *why) __attribute__((noreturn));
static void refuse(int report, struct failure *why) {
  ssize_t n = write(report, why, sizeof *why);
  _exit(n == sizeof *why ? 127 : 126);
}

static void limit_capabilities(uint64_t keep, int is_root) {
  for (int cap = 0; cap <= 63; cap++) if (!(keep >> cap & 1)) prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
  if (!is_root) return;
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{(uint32_t)keep, (uint32_t)keep, 0}, {(uint32_t)(keep >> 32), (uint32_t)(keep >> 32), 0}};
  syscall(SYS_capset, &header, data);
}

/* execve along PATH; sets `why` to what a shell would say: 127 not there, 126 not executable. */
static void run_along_path(struct process *p, char **env, struct failure *why) {
  const char *name = p->args[0], *path = environment(env, "PATH");
  int denied = 0;
  char full[4096];
  if (strchr(name, '/')) {
    execve(name, p->args, env);
    denied = errno != ENOENT && errno != ENOTDIR ? errno : 0;
  } else {
    for (const char *at = path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"; *at;) {
      size_t n = strcspn(at, ":");
      if (snprintf(full, sizeof full, "%.*s/%s", (int)n, n ? at : ".", name) < (int)sizeof full) {
        execve(full, p->args, env);
        if (errno != ENOENT && errno != ENOTDIR) denied = errno;
      }
      at += n + (at[n] == ':');
    }
  }
  if (denied) fail(why, denied == E2BIG ? "start_failed" : "command_not_executable", "%.200s: %s", name, strerror(denied));
  else fail(why, "command_not_found", "\"%.200s\" is not there: no such file, and not in PATH", name);
}

/* Reaps whatever ends; ends with the code of `main`. The reaper is PID 1 of the task's namespace. */
static void reap_for(pid_t main) __attribute__((noreturn));
static pid_t reaped;
static void forward(int signal) { kill(reaped, signal); }
static void reap_for(pid_t main) {
  reaped = main;
  for (int s = 1; s < 32; s++) if (s != SIGCHLD && s != SIGKILL && s != SIGSTOP) signal(s, forward);
  for (;;) {
    int status;
    pid_t pid = wait(&status);
    if (pid == main) _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    if (pid < 0 && errno == ECHILD) _exit(0);
  }
}

static void become(struct process *p, int busybox, int report, struct failure *why) __attribute__((noreturn));
static void become(struct process *p, int busybox, int report, struct failure *why) {
  uid_t uid; gid_t gid, groups[256];
  int count = 256;
  char home[512];
  if (find_account(p->user, p->groups, &uid, &gid, groups, &count, home, sizeof home, why)) refuse(report, why);
  if (chdir(p->cwd) && errno == ENOENT) {
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", p->cwd);
    for (char *at = copy + 1; *at; at++) if (*at == '/') { *at = 0; mkdir(copy, 0755); *at = '/'; }
    mkdir(copy, 0755);
  }
  if (chdir(p->cwd)) { fail(why, "start_failed", "the working directory %.200s: %s", p->cwd, strerror(errno)); refuse(report, why); }
  for (uint32_t i = 0; i < p->limit_count; i++) {
    struct rlimit limit = {p->limits[i].soft, p->limits[i].hard};
    setrlimit((int)p->limits[i].resource, &limit);
  }
  size_t n = 0;
  while (p->env[n]) n++;
  char **env = calloc(n + 3, sizeof *env), home_entry[600];
  memcpy(env, p->env, n * sizeof *env);
  snprintf(home_entry, sizeof home_entry, "HOME=%s", home);
  if (!environment(p->env, "HOME")) env[n++] = home_entry;
  if (p->tty && !environment(p->env, "TERM")) env[n++] = "TERM=xterm";
  if (setgroups((size_t)count, groups) || setgid(gid)) { fail(why, "invalid_user", "groups: %s", strerror(errno)); refuse(report, why); }
  if (p->no_new_privileges) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (uid != 0) {
    limit_capabilities(p->capabilities, 0);
    if (setuid(uid)) { fail(why, "invalid_user", "user %u: %s", uid, strerror(errno)); refuse(report, why); }
  } else {
    if (setuid(0)) { fail(why, "invalid_user", "user 0: %s", strerror(errno)); refuse(report, why); }
    limit_capabilities(p->capabilities, 1);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  for (int s = 1; s < 32; s++) signal(s, SIG_DFL);
  if (busybox >= 0) {
    fexecve(busybox, p->args + 1, env);
    fail(why, "command_not_executable", "busybox: %s", strerror(errno));
  } else {
    run_along_path(p, env, why);
  }
  refuse(report, why);
}

static void wire(int in, int out, int err, int tty) {
  dup2(in, 0); dup2(out, 1); dup2(err, 2);
  if (in > 2) close(in);
  if (out > 2) close(out);
  if (err > 2 && err != out) close(err);
  setsid();
  if (tty) ioctl(0, TIOCSCTTY, 0);
}

static void join_cgroup(uint32_t pids_limit) {
  char text[32];
  if (pids_limit) {
    FILE *limit = fopen(TASK_CGROUP "/pids.max", "we");
    if (limit) { fprintf(limit, "%u", pids_limit); fclose(limit); }
  }
  int fd = open(TASK_CGROUP "/cgroup.procs", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, "0", 1) < 0) snprintf(text, sizeof text, "%d", getpid());
  close(fd);
}

static void spare_from_oom(const char *value) {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd >= 0) { if (write(fd, value, strlen(value)) < 0) errno = 0; close(fd); }
}

/* PID 1 of the task's namespace: its own mounts, the new root as "/", its own /proc. */
static void first(struct process *p, int busybox, int report, struct failure *why) __attribute__((noreturn));
static void first(struct process *p, int busybox, int report, struct failure *why) {
  mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
  if (chdir(ROOT) || mount(ROOT, "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/")) { fail(why, "start_failed", "root: %s", strerror(errno)); refuse(report, why); }
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL)) { fail(why, "start_failed", "/proc: %s", strerror(errno)); refuse(report, why); }
  static const char *read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  for (size_t i = 0; i < 5; i++) if (!mount(read_only[i], read_only[i], NULL, MS_BIND | MS_REC, NULL)) mount(NULL, read_only[i], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  if (p->init) {
    pid_t child = fork();
    if (child > 0) { close(report); reap_for(child); }
  }
  become(p, busybox, report, why);
}

/* Joins the namespaces of the task, and waits for the one process it starts there; PDEATHSIG ties that to this one. */
static void beside(struct process *p, pid_t task, int busybox, int report, struct failure *why) __attribute__((noreturn));
static void beside(struct process *p, pid_t task, int busybox, int report, struct failure *why) {
  char path[64];
  if (task > 0) {
    snprintf(path, sizeof path, "/proc/%d/ns/pid", task);
    int pids = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", task);
    int mounts = open(path, O_RDONLY | O_CLOEXEC);
    if (pids < 0 || mounts < 0 || setns(pids, CLONE_NEWPID) || setns(mounts, CLONE_NEWNS)) { fail(why, "wrong_state", "the task has ended"); refuse(report, why); }
  } else if (chroot(ROOT) || chdir("/")) {
    fail(why, "start_failed", "root: %s", strerror(errno));
    refuse(report, why);
  }
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (p->tty) { setsid(); ioctl(0, TIOCSCTTY, 0); }
    become(p, busybox, report, why);
  }
  close(report);
  for (int fd = 0; fd < 3; fd++) close(fd);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

pid_t start_process(struct process *p, pid_t task_pid, int in, int out, int err, struct failure *why) {
  int report[2];
  int is_task = task_pid == 0;
  if (pipe2(report, O_CLOEXEC)) return fail(why, "start_failed", "pipe: %s", strerror(errno));
  int busybox = strcmp(p->args[0], BUSYBOX) == 0 && p->args[1] ? open("/bin/busybox", O_RDONLY | O_CLOEXEC) : -1;
  pid_t pid = is_task ? (pid_t)syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0) : fork();
  if (pid == 0) {
    close(report[0]);
    spare_from_oom("0");
    join_cgroup(is_task ? p->pids_limit : 0);
    wire(in, out, err, p->tty && is_task);
    if (is_task) first(p, busybox, report[1], why);
    beside(p, task_pid > 0 ? task_pid : -1, busybox, report[1], why);
  }
  close(report[1]);
  if (busybox >= 0) close(busybox);
  if (pid < 0) { close(report[0]); return fail(why, "start_failed", "fork: %s", strerror(errno)); }
  ssize_t n;
  while ((n = read(report[0], why, sizeof *why)) < 0 && errno == EINTR) {}
  close(report[0]);
  if (n == sizeof *why) { waitpid(pid, NULL, 0); return -1; }
  return pid;
}
