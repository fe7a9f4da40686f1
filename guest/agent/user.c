/* Users and groups, read from /etc/passwd and /etc/group themselves: the image may have any C library or none. */
#define _GNU_SOURCE
#include "user.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ID 2147483647L

/* -1 when the text is not an id. */
static long parse_id(const char *text) {
  size_t digits = strspn(text, "0123456789");
  if (digits == 0 || text[digits]) return -1;
  if (digits > 10) return MAX_ID + 1;
  return strtol(text, NULL, 10);
}

/* Cuts a line of colons into its fields; missing ones are empty. */
static void split(char *line, char **fields, int count) {
  line[strcspn(line, "\n")] = 0;
  for (int i = 0; i < count; i++) {
    fields[i] = line;
    line += strcspn(line, ":");
    if (*line) *line++ = 0;
  }
}

/* Fills in what /etc/passwd knows; the user's name goes to `name`. */
static int find_user(const char *text, long id, struct user *user, char *name, size_t size) {
  FILE *file = fopen("/etc/passwd", "re");
  char *line = NULL;
  size_t capacity = 0;
  int found = 0;
  while (file && !found && getline(&line, &capacity, file) > 0) {
    char *fields[7];
    split(line, fields, 7);
    long uid = parse_id(fields[2]), gid = parse_id(fields[3]);
    if (uid < 0 || uid > MAX_ID || gid < 0 || gid > MAX_ID) continue;
    found = strcmp(fields[0], text) == 0 || (id >= 0 && uid == id);
    if (!found) continue;
    user->uid = (uid_t)uid;
    user->gid = (gid_t)gid;
    snprintf(user->home, sizeof user->home, "%s", *fields[5] ? fields[5] : "/");
    snprintf(name, size, "%s", fields[0]);
  }
  free(line);
  if (file) fclose(file);
  return found;
}

static void add_group(struct user *user, gid_t gid) {
  for (int i = 0; i < user->group_count; i++)
    if (user->groups[i] == gid) return;
  if (user->group_count < MAX_GROUPS) user->groups[user->group_count++] = gid;
}

static int has_member(char *members, const char *name) {
  for (char *rest = members, *member; (member = strsep(&rest, ","));)
    if (strcmp(member, name) == 0) return 1;
  return 0;
}

/* The id of a group by name, or -1; with `member` adds every group that lists it. */
static long scan_groups(const char *group, const char *member, struct user *user) {
  FILE *file = fopen("/etc/group", "re");
  char *line = NULL;
  size_t capacity = 0;
  long found = -1;
  while (file && getline(&line, &capacity, file) > 0) {
    char *fields[4];
    split(line, fields, 4);
    long gid = parse_id(fields[2]);
    if (gid < 0 || gid > MAX_ID) continue;
    if (group && found < 0 && strcmp(fields[0], group) == 0) found = gid;
    if (member && has_member(fields[3], member)) add_group(user, (gid_t)gid);
  }
  free(line);
  if (file) fclose(file);
  return found;
}

static int find_group(const char *text, gid_t *gid, struct failure *failure) {
  long id = parse_id(text);
  if (id < 0) id = scan_groups(text, NULL, NULL);
  if (id < 0) return fail(failure, FAIL_INVALID_USER, "group %.100s is not in the image's /etc/group", text);
  if (id > MAX_ID) return fail(failure, FAIL_INVALID_USER, "group id %.30s is out of range", text);
  *gid = (gid_t)id;
  return 0;
}

int user_resolve(const char *spec, char *const *add, struct user *user, struct failure *failure) {
  char text[512], name[256] = "";
  if (snprintf(text, sizeof text, "%s", *spec ? spec : "0") >= (int)sizeof text)
    return fail(failure, FAIL_INVALID_USER, "the user is too long");
  char *group = strchr(text, ':');
  if (group) *group++ = 0;
  if (!*text) strcpy(text, "0");
  memset(user, 0, sizeof *user);
  strcpy(user->home, "/");
  long id = parse_id(text);
  if (id > MAX_ID) return fail(failure, FAIL_INVALID_USER, "user id %.30s is out of range", text);
  if (!find_user(text, id, user, name, sizeof name)) {
    if (id < 0) return fail(failure, FAIL_INVALID_USER, "user %.100s is not in the image's /etc/passwd", text);
    user->uid = (uid_t)id;
  }
  if (group && *group) {
    if (find_group(group, &user->gid, failure) < 0) return -1;
  } else if (*name)
    scan_groups(NULL, name, user);
  for (; add && *add; add++) {
    gid_t gid;
    if (find_group(*add, &gid, failure) < 0) return -1;
    add_group(user, gid);
  }
  return 0;
}
