/* Paths inside the task's root: links are followed as the task would see them, and never out of it. */
#ifndef PATH_H
#define PATH_H
#include "failure.h"

/* Opens `path` below the directory `root`; flags as open(2). -1 with errno. */
int path_open(int root, const char *path, int flags);
/* An O_PATH descriptor of a directory (or an empty file) at `path`, made with its parents where missing. */
int path_make(int root, const char *path, int is_directory, struct failure *failure);
/* mount(2) onto what a descriptor stands for. */
int path_mount(const char *source, int target, const char *type, unsigned long flags, const char *data);

#endif
