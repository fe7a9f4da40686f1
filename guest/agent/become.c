/* Turns the calling process into what the request describes: directory, limits, user, capabilities, program. */
#define _GNU_SOURCE
#include "become.h"
#include "user.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define CAPABILITY_VERSION_3 0x20080522

static int enter_directory(const char *cwd, struct failure *failure) {
  char path[PATH_MAX];
  if (!*cwd) cwd = "/";
  if (*cwd != '/' || strlen(cwd) >= sizeof path)
    return fail(failure, FAIL_INVALID_REQUEST, "the working directory %.200s is not absolute", cwd);
  strcpy(path, cwd);
  for (char *at = path + 1; *at; at++)
    if (*at == '/') {
      *at = 0;
      mkdir(path, 0755);
      *at = '/';
    }
  mkdir(path, 0755);
  if (chdir(cwd) < 0) return fail(failure, FAIL_START, "cannot enter %.200s: %s", cwd, strerror(errno));
  return 0;
}

static int set_limits(const struct process_request *process, struct failure *failure) {
  for (uint32_t i = 0; i < process->ulimit_count; i++) {
    const struct ulimit *limit = &process->ulimits[i];
    struct rlimit value = { limit->soft, limit->hard };
    if (setrlimit(limit->resource, &value) < 0)
      return fail(failure, FAIL_INVALID_REQUEST, "cannot set resource limit %u: %s", limit->resource, strerror(errno));
  }
  return 0;
}

static int set_identity(const struct process_request *process, const struct user *user, struct failure *failure) {
  struct { uint32_t version; int pid; } header = { CAPABILITY_VERSION_3, 0 };
  struct { uint32_t effective, permitted, inheritable; } sets[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
  for (int number = 0; number < 64; number++)
    if (!(process->capabilities >> number & 1) && prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0) break;
  /* So that a task can open /dev/stdout again. */
  for (int stream = 0; stream <= 2; stream++)
    if (fchown(stream, user->uid, (gid_t)-1) < 0) { /* /dev/null of the agent, for one. */ }
  if (setgroups((size_t)user->group_count, user->groups) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
      setresuid(user->uid, user->uid, user->uid) < 0)
    return fail(failure, FAIL_START, "cannot become user %u: %s", (unsigned)user->uid, strerror(errno));
  if (user->uid == 0)
    for (int half = 0; half < 2; half++)
      sets[half].effective = sets[half].permitted = (uint32_t)(process->capabilities >> (32 * half));
  if (user->uid == 0) {
    /* A kernel may know fewer capabilities than were asked for. */
    unsigned known = 0;
    while (known < 64 && prctl(PR_CAPBSET_READ, known, 0, 0, 0) >= 0) known++;
    uint64_t valid = known >= 64 ? ~0ull : (1ull << known) - 1;
    for (int half = 0; half < 2; half++) {
      sets[half].permitted &= (uint32_t)(valid >> (32 * half));
      sets[half].effective = sets[half].permitted;
    }
  }
  if (syscall(SYS_capset, &header, sets) < 0)
    return fail(failure, FAIL_START, "cannot set capabilities: %s", strerror(errno));
  if (process->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    return fail(failure, FAIL_START, "no_new_privileges: %s", strerror(errno));
  return 0;
}

/* `env`, with a HOME where it has none. */
static char **complete(char **env, const char *home) {
  size_t count = 0;
  for (; env[count]; count++)
    if (strncmp(env[count], "HOME=", 5) == 0) return env;
  char **longer = calloc(count + 2, sizeof *longer), *text = malloc(strlen(home) + 6);
  if (!longer || !text) return env;
  memcpy(longer, env, count * sizeof *env);
  sprintf(text, "HOME=%s", home);
  longer[count] = text;
  return longer;
}

static int refuse(const char *name, int error, struct failure *failure) {
  if (error == E2BIG) return fail(failure, FAIL_START, "%.200s: the arguments are too long", name);
  if (error == ENOENT || error == ENOTDIR)
    return fail(failure, FAIL_COMMAND_NOT_FOUND, "%.200s is not in the image", name);
  return fail(failure, FAIL_COMMAND_NOT_EXECUTABLE, "%.200s cannot be run: %s", name, strerror(error));
}

static int run_found(const struct process_request *process, char **env, struct failure *failure) {
  const char *name = process->args[0], *path = DEFAULT_PATH;
  int error = ENOENT;
  if (!*name) return fail(failure, FAIL_COMMAND_NOT_FOUND, "the command is empty");
  if (strchr(name, '/')) {
    struct stat facts;
    execve(name, process->args, env);
    error = errno;
    if (error == ENOENT && stat(name, &facts) == 0)
      return fail(failure, FAIL_COMMAND_NOT_FOUND, "%.200s asks for an interpreter that is not in the image", name);
    return refuse(name, error, failure);
  }
  for (char **variable = env; *variable; variable++)
    if (strncmp(*variable, "PATH=", 5) == 0 && (*variable)[5]) path = *variable + 5;
  for (;;) {
    char candidate[PATH_MAX];
    size_t length = strcspn(path, ":");
    struct stat facts;
    int fits = snprintf(candidate, sizeof candidate, "%.*s/%s", length ? (int)length : 1, length ? path : ".", name);
    if (fits < (int)sizeof candidate && stat(candidate, &facts) == 0 && S_ISREG(facts.st_mode)) {
      execve(candidate, process->args, env);
      /* Found and refused weighs more than not found further on. */
      if (error == ENOENT || error == ENOTDIR) error = errno;
      if (errno == E2BIG) return refuse(name, E2BIG, failure);
    }
    path += length;
    if (!*path++) return refuse(name, error, failure);
  }
}

void become(const struct process_request *process, int program, struct failure *failure) {
  static const char *const no_groups[] = { NULL };
  static struct user user;
  sigset_t none;
  sigemptyset(&none);
  for (int number = 1; number < _NSIG; number++) signal(number, SIG_DFL);
  if (enter_directory(process->cwd, failure) < 0) return;
  umask(022);
  if (program >= 0) {
    sigprocmask(SIG_SETMASK, &none, NULL);
    syscall(SYS_execveat, program, "", process->args, process->env, AT_EMPTY_PATH);
    refuse("busybox", errno, failure);
    return;
  }
  if (user_resolve(process->user, process->groups ? process->groups : (char **)no_groups, &user, failure) < 0) return;
  if (set_limits(process, failure) < 0 || set_identity(process, &user, failure) < 0) return;
  char **env = complete(process->env, user.home);
  sigprocmask(SIG_SETMASK, &none, NULL);
  run_found(process, env, failure);
}
