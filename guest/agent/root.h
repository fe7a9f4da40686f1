/* The task's root file system, put together from disks, 9p shares and memory at ROOT. */
#ifndef ROOT_H
#define ROOT_H
#include "failure.h"
#include "request.h"

#define ROOT "/newroot"

int root_assemble(const struct machine_request *machine, struct failure *failure);
/* Syncs and unmounts whatever can be; after every other process is gone. */
void root_release(void);

#endif
