/* What a process of the task sees. Masks are the same as for a container, so that a task finds the same at every level. */
#define _GNU_SOURCE
#include "view.h"
#include "root.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROC_FLAGS (MS_NOSUID | MS_NODEV | MS_NOEXEC)

static void mask(void) {
  static const char *const hidden[] = { "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                                        "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
                                        "/sys/firmware" };
  static const char *const fixed[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };
  struct stat facts;
  for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
    if (stat(hidden[i], &facts) < 0) continue;
    if (S_ISDIR(facts.st_mode)) mount("tmpfs", hidden[i], "tmpfs", MS_RDONLY | PROC_FLAGS, "size=0k");
    else mount("/dev/null", hidden[i], NULL, MS_BIND, NULL);
  }
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
    if (mount(fixed[i], fixed[i], NULL, MS_BIND | MS_REC, NULL) == 0)
      mount(NULL, fixed[i], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | PROC_FLAGS, NULL);
}

static int enter(struct failure *failure) {
  mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
  if (mount("proc", ROOT "/proc", "proc", PROC_FLAGS, NULL) < 0)
    return fail(failure, FAIL_START, "cannot mount /proc: %s", strerror(errno));
  mount("cgroup2", ROOT "/sys/fs/cgroup", "cgroup2", MS_RDONLY | PROC_FLAGS, NULL);
  mkdir(ROOT "/dev/mqueue", 0755);
  mount("mqueue", ROOT "/dev/mqueue", "mqueue", PROC_FLAGS, NULL);
  if (chdir(ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
    return fail(failure, FAIL_START, "cannot enter the root: %s", strerror(errno));
  mask();
  return 0;
}

int view_make(struct failure *failure) {
  /* The cgroup namespace comes after joining, so that the task's own group looks like the root. */
  if (unshare(CLONE_NEWNS | CLONE_NEWIPC) < 0)
    return fail(failure, FAIL_START, "cannot make namespaces: %s", strerror(errno));
  unshare(CLONE_NEWCGROUP);
  return enter(failure);
}

int view_join(int task_pidfd, struct failure *failure) {
  if (setns(task_pidfd, CLONE_NEWNS | CLONE_NEWIPC) < 0)
    return fail(failure, FAIL_WRONG_STATE, "the task has ended");
  if (setns(task_pidfd, CLONE_NEWCGROUP) < 0) { /* A kernel without them. */ }
  return 0;
}

int view_alone(struct failure *failure) {
  if (unshare(CLONE_NEWNS) < 0) return fail(failure, FAIL_START, "cannot make namespaces: %s", strerror(errno));
  return enter(failure);
}
