/* What the parts of PID 1 share. */
#ifndef GUEST_H
#define GUEST_H
#include "reader.h"
#include <stdio.h>
#include <sys/types.h>

#define AGENT_VERSION "1"
#define ROOT "/newroot"
#define TASK_CGROUP "/cg/task"

/* What went wrong, as a code of the host's registry and a sentence. */
struct failure {
  char code[32];
  char message[480];
};

struct limit { uint32_t resource; uint64_t soft, hard; };

struct process {
  char **args, **env, **groups;
  char *cwd, *user;
  int tty, wants_stdin, no_new_privileges, init;
  uint64_t capabilities;
  uint32_t limit_count, pids_limit;
  struct limit *limits;
};

/* setup.c */
void early_mounts(void);
void load_modules(void);
int configure(struct reader *r, struct failure *why);
void set_clock(uint64_t unix_ms);
void power_off(void) __attribute__((noreturn));

/* account.c: ids of `user[:group]` in the files of the current root */
int find_account(const char *user, char **add, uid_t *uid, gid_t *gid, gid_t *groups, int *count, char *home, size_t home_size, struct failure *why);

/* process.c */
struct process *read_process(struct reader *r);
void free_process(struct process *p);
/* Starts the task (task_pid 0) or a process beside it. Descriptors are the child's ends. Returns its pid, or -1 with `why`. */
pid_t start_process(struct process *p, pid_t task_pid, int in, int out, int err, struct failure *why);
int open_terminal(int *master, int *slave);

int fail(struct failure *why, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));
#endif
