/* Starts one process of the task: as asked for, or not at all. */
#ifndef LAUNCH_H
#define LAUNCH_H
#include "failure.h"
#include "request.h"
#include <sys/types.h>

/* Where a process gets to see the root. */
enum view { VIEW_NEW, VIEW_BESIDE_TASK, VIEW_ALONE };

struct launch {
  const struct process_request *process;
  enum view view;
  /* Of the running task; for VIEW_BESIDE_TASK. */
  int task_pidfd;
  /* Ours: input (or terminal), output, errors; -1 where there is none. With a terminal only `input` and `output` (one a duplicate). */
  int input, output, errors;
  /* Ends at a successful exec; else it yields one `struct failure`. */
  int status;
};

/* The name under which the agent's own busybox is run, chrooted, as root. */
#define OWN_BUSYBOX "/.bulkhead/busybox"

/* The new process's id, or -1. */
pid_t launch(struct launch *launch, struct failure *failure);

#endif
