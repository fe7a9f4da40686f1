/* Starts one process of the task: streams, terminal, namespaces; what the process itself becomes is in become.c. */
#define _GNU_SOURCE
#include "launch.h"
#include "become.h"
#include "cgroup.h"
#include "root.h"
#include "view.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Ends of the streams that the new process gets. */
struct ends { int input, output, errors, status; };

static void close_ends(struct ends *ends) {
  int all[] = { ends->input, ends->output, ends->errors, ends->status };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i] >= 0) close(all[i]);
}

static int open_terminal(struct launch *launch, struct ends *ends) {
  int master = open(ROOT "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  int number, unlocked = 0;
  char path[64];
  if (master < 0) return -1;
  launch->input = master;
  if (ioctl(master, TIOCSPTLCK, &unlocked) < 0 || ioctl(master, TIOCGPTN, &number) < 0) return -1;
  struct winsize size = { launch->process->rows, launch->process->columns, 0, 0 };
  ioctl(master, TIOCSWINSZ, &size);
  snprintf(path, sizeof path, ROOT "/dev/pts/%d", number);
  ends->input = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
  ends->output = fcntl(ends->input, F_DUPFD_CLOEXEC, 3);
  ends->errors = fcntl(ends->input, F_DUPFD_CLOEXEC, 3);
  launch->output = fcntl(master, F_DUPFD_CLOEXEC, 3);
  return ends->errors < 0 || launch->output < 0 ? -1 : 0;
}

static int open_pipe(int *ours, int *theirs, int they_read) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return -1;
  *ours = ends[they_read];
  *theirs = ends[!they_read];
  return fcntl(*ours, F_SETFL, O_NONBLOCK);
}

static int open_streams(struct launch *launch, struct ends *ends) {
  *ends = (struct ends){ -1, -1, -1, -1 };
  launch->input = launch->output = launch->errors = launch->status = -1;
  if (open_pipe(&launch->status, &ends->status, 0) < 0) return -1;
  if (launch->process->tty) return open_terminal(launch, ends);
  if (launch->process->has_stdin) {
    if (open_pipe(&launch->input, &ends->input, 1) < 0) return -1;
  } else if ((ends->input = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
    return -1;
  if (open_pipe(&launch->output, &ends->output, 0) < 0) return -1;
  return open_pipe(&launch->errors, &ends->errors, 0);
}

/* PID 1 of the task's namespace when the task asked for an init: reaps, passes signals on, ends with its child. */
static void stand_before(pid_t child) {
  sigset_t all;
  sigfillset(&all);
  for (;;) {
    int signal_number = sigwaitinfo(&all, NULL), status;
    if (signal_number > 0 && signal_number != SIGCHLD) kill(child, signal_number);
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
      if (pid == child) _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
  }
}

static void run(struct launch *launch, struct ends *ends) {
  struct failure failure = { FAIL_START, "" };
  const struct process_request *process = launch->process;
  int own = strcmp(process->args[0], OWN_BUSYBOX) == 0;
  int program = own ? open("/bin/busybox", O_RDONLY | O_CLOEXEC) : -1;
  FILE *score = fopen("/proc/self/oom_score_adj", "we");
  if (score) {
    fputs("0", score);
    fclose(score);
  }
  cgroup_join();
  int done = launch->view == VIEW_NEW             ? view_make(&failure)
             : launch->view == VIEW_BESIDE_TASK ? view_join(launch->task_pidfd, &failure)
                                                : view_alone(&failure);
  if (done == 0 && process->init && launch->view == VIEW_NEW) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    pid_t child = fork();
    if (child > 0) {
      close_ends(ends);
      stand_before(child);
    }
    if (child < 0) done = fail(&failure, FAIL_START, "cannot fork: %s", strerror(errno));
  }
  setsid();
  dup2(ends->input, 0);
  dup2(ends->output, 1);
  dup2(ends->errors, 2);
  if (process->tty) ioctl(0, TIOCSCTTY, 0);
  if (done == 0) become(process, program, &failure);
  if (write(ends->status, &failure, sizeof failure) < 0) { /* The agent sees the end in any case. */ }
  _exit(127);
}

pid_t launch(struct launch *launch, struct failure *failure) {
  struct ends ends;
  pid_t pid = -1;
  int own = -1, ready = open_streams(launch, &ends) == 0;
  int error = errno;
  if (ready && launch->view != VIEW_ALONE) {
    own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    ready = own >= 0 && (launch->view == VIEW_NEW ? unshare(CLONE_NEWPID) : setns(launch->task_pidfd, CLONE_NEWPID)) == 0;
    error = errno;
  }
  if (ready) {
    pid = fork();
    error = errno;
  }
  if (pid == 0) run(launch, &ends);
  if (own >= 0) {
    /* Only children are ever in the task's namespace. */
    setns(own, CLONE_NEWPID);
    close(own);
  }
  close_ends(&ends);
  if (pid > 0) return pid;
  int ours[] = { launch->input, launch->output, launch->errors, launch->status };
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
    if (ours[i] >= 0) close(ours[i]);
  if (launch->view == VIEW_BESIDE_TASK && (error == ESRCH || error == ENOMEM))
    return fail(failure, FAIL_WRONG_STATE, "the task has ended");
  return fail(failure, FAIL_START, "cannot start a process: %s", strerror(error));
}
