/* Paths inside the task's root, by openat2(2) with RESOLVE_IN_ROOT. */
#define _GNU_SOURCE
#include "path.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#define RESOLVE_IN_ROOT_FLAG 0x10
#define MAX_LINKS 40

int path_open(int root, const char *path, int flags) {
  struct { uint64_t flags, mode, resolve; } how = { (uint64_t)(flags | O_CLOEXEC), 0, RESOLVE_IN_ROOT_FLAG };
  return (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
}

/* Makes one missing component; a link that leads nowhere gets what it points to. */
static int make_component(int root, const char *prefix, const char *name, int is_directory, int links,
                          struct failure *failure);

static int make(int root, const char *path, int is_directory, int links, struct failure *failure) {
  char prefix[PATH_MAX] = "";
  const char *rest = path;
  int at = path_open(root, ".", O_PATH | O_DIRECTORY);
  while (at >= 0) {
    rest += strspn(rest, "/");
    if (!*rest) return at;
    size_t length = strcspn(rest, "/");
    size_t used = strlen(prefix);
    if (used + length + 2 > sizeof prefix) break;
    char parent[PATH_MAX];
    memcpy(parent, prefix, used + 1);
    snprintf(prefix + used, sizeof prefix - used, "/%.*s", (int)length, rest);
    int last = rest[length + strspn(rest + length, "/")] == 0;
    int wants_directory = is_directory || !last;
    close(at);
    at = path_open(root, prefix, O_PATH | (wants_directory ? O_DIRECTORY : 0));
    if (at < 0 && errno == ENOENT) at = make_component(root, parent, prefix + used + 1, wants_directory, links, failure);
    if (at == -2) return -1;
    rest += length;
  }
  return fail(failure, FAIL_INVALID_MOUNT, "cannot make %s in the root: %s", path, strerror(errno));
}

static int make_component(int root, const char *prefix, const char *name, int is_directory, int links,
                          struct failure *failure) {
  int parent = path_open(root, prefix, O_PATH | O_DIRECTORY);
  if (parent < 0) return -1;
  int made = is_directory ? mkdirat(parent, name, 0755) : mknodat(parent, name, S_IFREG | 0644, 0);
  if (made < 0 && errno == EEXIST && links < MAX_LINKS) {
    char target[PATH_MAX], path[PATH_MAX];
    ssize_t length = readlinkat(parent, name, target, sizeof target - 1);
    close(parent);
    if (length <= 0) return -1;
    target[length] = 0;
    int needed = snprintf(path, sizeof path, "%s/%s", *target == '/' ? "" : prefix, target);
    if (needed < 0 || needed >= (int)sizeof path) return -1;
    int at = make(root, path, is_directory, links + 1, failure);
    return at < 0 ? -2 : at;
  }
  int at = made < 0 ? -1 : openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  int error = errno;
  close(parent);
  errno = error;
  return at;
}

int path_make(int root, const char *path, int is_directory, struct failure *failure) {
  return make(root, path, is_directory, 0, failure);
}

int path_mount(const char *source, int target, const char *type, unsigned long flags, const char *data) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", target);
  return mount(source, path, type, flags, data);
}
