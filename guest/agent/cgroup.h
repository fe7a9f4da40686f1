/* The cgroup of the task and its execs: counts, the limit of processes, and whether memory ran out. */
#ifndef CGROUP_H
#define CGROUP_H
#include <stdint.h>

struct usage { uint64_t cpu_ns, memory_bytes; uint32_t pids; };

void cgroup_make(void);
void cgroup_limit_pids(uint32_t limit);
/* Puts the calling process in. */
void cgroup_join(void);
void cgroup_usage(struct usage *usage);
/* How many processes the kernel has killed for want of memory. */
uint64_t cgroup_oom_kills(void);

#endif
