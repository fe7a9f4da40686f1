/* The cgroup of the task and its execs (v2); without one, the machine's own figures serve. */
#define _GNU_SOURCE
#include "cgroup.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUP "/sys/fs/cgroup/task"
#define RESERVED_BYTES (8ull << 20)
#define RESERVED_MAX_BYTES (64ull << 20)

static void put(const char *path, const char *text) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  if (write(file, text, strlen(text)) < 0) { /* A controller this kernel does not have. */ }
  close(file);
}

/* The number after `key` at the beginning of a line; 0 when there is none. */
static uint64_t value_of(const char *path, const char *key) {
  FILE *file = fopen(path, "re");
  char line[256];
  uint64_t value = 0;
  while (file && fgets(line, sizeof line, file))
    if (strncmp(line, key, strlen(key)) == 0) {
      value = strtoull(line + strlen(key), NULL, 10);
      break;
    }
  if (file) fclose(file);
  return value;
}

/*
 * Without a limit of its own a task that eats the machine's memory makes the kernel evict and read back the same pages of
 * programs for minutes before it kills; what is kept back lets it decide at once, and keeps the agent able to answer.
 */
static void limit_memory(void) {
  char text[32];
  uint64_t available = value_of("/proc/meminfo", "MemAvailable:") * 1024;
  uint64_t kept = available / 16 > RESERVED_BYTES ? available / 16 : RESERVED_BYTES;
  if (kept > RESERVED_MAX_BYTES) kept = RESERVED_MAX_BYTES;
  if (available < 2 * kept) return;
  snprintf(text, sizeof text, "%llu", (unsigned long long)(available - kept));
  put(GROUP "/memory.max", text);
}

void cgroup_make(void) {
  put("/sys/fs/cgroup/cgroup.subtree_control", "+cpu");
  put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
  put("/sys/fs/cgroup/cgroup.subtree_control", "+pids");
  mkdir(GROUP, 0755);
  limit_memory();
}

void cgroup_limit_pids(uint32_t limit) {
  char text[16];
  snprintf(text, sizeof text, "%u", limit);
  put(GROUP "/pids.max", limit ? text : "max");
}

void cgroup_join(void) { put(GROUP "/cgroup.procs", "0"); }

static uint64_t machine_cpu_ns(void) {
  FILE *file = fopen("/proc/stat", "re");
  unsigned long long user = 0, nice = 0, system = 0;
  if (file && fscanf(file, "cpu %llu %llu %llu", &user, &nice, &system) < 3) user = 0;
  if (file) fclose(file);
  return (user + nice + system) * (1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK));
}

void cgroup_usage(struct usage *usage) {
  usage->cpu_ns = value_of(GROUP "/cpu.stat", "usage_usec ") * 1000;
  if (usage->cpu_ns == 0) usage->cpu_ns = machine_cpu_ns();
  uint64_t total = value_of("/proc/meminfo", "MemTotal:"), available = value_of("/proc/meminfo", "MemAvailable:");
  usage->memory_bytes = total > available ? (total - available) * 1024 : 0;
  usage->pids = (uint32_t)value_of(GROUP "/pids.current", "");
}

uint64_t cgroup_oom_kills(void) {
  if (access(GROUP "/memory.events", R_OK) == 0) return value_of(GROUP "/memory.events", "oom_kill ");
  return value_of("/proc/vmstat", "oom_kill ");
}
