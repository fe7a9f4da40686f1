/* Users and groups by name or number, from the passwd and group files of the current root. */
#define _GNU_SOURCE
#include "guest.h"
#include <ctype.h>

#define MAX_ID 2147483647L

static int number(const char *text, long *value) {
  if (!*text) return 0;
  for (const char *p = text; *p; p++) if (!isdigit((unsigned char)*p)) return 0;
  *value = strlen(text) > 10 ? MAX_ID + 1 : atol(text);
  return 1;
}

/* Field `index` of the line whose field `key` is `wanted`, into `out`; copies the whole line to `line`. */
static int look_up(const char *file, int key, const char *wanted, char *line, size_t size) {
  FILE *f = fopen(file, "re");
  int found = 0;
  while (f && !found && fgets(line, (int)size, f)) {
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", line);
    char *rest = copy, *field = NULL;
    for (int i = 0; i <= key; i++) field = strsep(&rest, ":");
    found = field && !strcmp(field, wanted);
  }
  if (f) fclose(f);
  return found;
}

static char *field(char *line, int index) {
  char *rest = line, *value = NULL;
  for (int i = 0; i <= index; i++) value = strsep(&rest, ":\n");
  return value ? value : "";
}

static int group_id(const char *name, gid_t *gid, struct failure *why) {
  long id;
  char line[4096];
  if (!number(name, &id)) {
    if (!look_up("/etc/group", 0, name, line, sizeof line) || !number(field(line, 2), &id)) return fail(why, "invalid_user", "the image has no group \"%s\" in /etc/group", name);
  }
  if (id > MAX_ID) return fail(why, "invalid_user", "the group id %s is out of range", name);
  *gid = (gid_t)id;
  return 0;
}

int find_account(const char *spec, char **add, uid_t *uid, gid_t *gid, gid_t *groups, int *count, char *home, size_t home_size, struct failure *why) {
  char user[256], line[4096], copy[4096];
  snprintf(user, sizeof user, "%s", *spec ? spec : "root");
  char *group = strchr(user, ':');
  if (group) *group++ = 0;
  long id;
  int max = *count, known;
  *count = 0;
  *gid = 0;
  known = look_up("/etc/passwd", 0, user, line, sizeof line) || (number(user, &id) && look_up("/etc/passwd", 2, user, line, sizeof line));
  if (number(user, &id)) {
    if (id > MAX_ID) return fail(why, "invalid_user", "the user id %s is out of range", user);
  } else if (known) {
    snprintf(copy, sizeof copy, "%s", line);
    if (!number(field(copy, 2), &id)) return fail(why, "invalid_user", "the user \"%s\" has no id", user);
  } else if (!strcmp(user, "root")) {
    id = 0;
  } else {
    return fail(why, "invalid_user", "the image has no user \"%s\" in /etc/passwd", user);
  }
  *uid = (uid_t)id;
  snprintf(home, home_size, "%s", id == 0 ? "/root" : "/");
  char name[256] = "";
  if (known) {
    long primary;
    snprintf(copy, sizeof copy, "%s", line);
    snprintf(name, sizeof name, "%s", field(copy, 0));
    snprintf(copy, sizeof copy, "%s", line);
    if (number(field(copy, 3), &primary)) *gid = (gid_t)primary;
    snprintf(copy, sizeof copy, "%s", line);
    char *at = field(copy, 5);
    if (*at) snprintf(home, home_size, "%s", at);
  }
  if (group && *group) {
    if (group_id(group, gid, why)) return -1;
  } else if (*name) {
    FILE *f = fopen("/etc/group", "re");
    while (f && fgets(line, sizeof line, f) && *count < max) {
      snprintf(copy, sizeof copy, "%s", line);
      char *members = field(copy, 3), *member;
      while ((member = strsep(&members, ","))) {
        long member_group;
        char again[4096];
        snprintf(again, sizeof again, "%s", line);
        if (!strcmp(member, name) && number(field(again, 2), &member_group) && *count < max) groups[(*count)++] = (gid_t)member_group;
      }
    }
    if (f) fclose(f);
  }
  for (; *add && *count < max; add++) if (group_id(*add, &groups[(*count)++], why)) return -1;
  return 0;
}
