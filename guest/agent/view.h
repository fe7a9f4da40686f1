/* What a process of the task sees: the assembled root as its own, with its own /proc. Runs in the new process. */
#ifndef VIEW_H
#define VIEW_H
#include "failure.h"

/* The first process of the task, already PID 1 of its namespace. */
int view_make(struct failure *failure);
/* A process beside the running task. */
int view_join(int task_pidfd, struct failure *failure);
/* Looks at the root while no task runs. */
int view_alone(struct failure *failure);

#endif
