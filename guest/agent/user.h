/* Users and groups of the task's root: to be asked once inside it. */
#ifndef USER_H
#define USER_H
#include "failure.h"
#include <sys/types.h>

#define MAX_GROUPS 256

struct user {
  uid_t uid;
  gid_t gid;
  gid_t groups[MAX_GROUPS];
  int group_count;
  char home[1024];
};

/* `spec` is `user`, `uid`, `user:group`, or empty for root; `add` lists more groups by name or id. */
int user_resolve(const char *spec, char *const *add, struct user *user, struct failure *failure);

#endif
