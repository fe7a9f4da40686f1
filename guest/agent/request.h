/* What the host asks for: the machine it describes once, and a process. */
#ifndef REQUEST_H
#define REQUEST_H
#include <stddef.h>
#include <stdint.h>

struct layer { char *device, *type; };
struct mount_request { uint8_t is_9p; char *source, *target, *type, *subpath; uint8_t read_only; };
struct tmpfs_request { char *target; uint64_t size; uint32_t mode; };
struct setting { char *key, *value; };

struct machine_request {
  char *hostname, *domainname;
  struct layer *layers; uint32_t layer_count;
  uint8_t upper_is_device; char *upper_device; uint64_t upper_size;
  uint8_t read_only_root;
  struct mount_request *mounts; uint32_t mount_count;
  struct tmpfs_request *tmpfs; uint32_t tmpfs_count;
  uint64_t shm_size;
  uint8_t has_network; char *interface, *ip, *gateway; uint8_t prefix_length;
  char *hosts, *resolv_conf;
  struct setting *sysctls; uint32_t sysctl_count;
  uint64_t unix_time_ms;
  const uint8_t *entropy; size_t entropy_length;
};

struct ulimit { uint8_t resource; uint64_t soft, hard; };

struct process_request {
  char **args, **env;
  char *cwd, *user;
  char **groups;
  uint8_t tty, has_stdin, no_new_privileges, init;
  uint64_t capabilities;
  struct ulimit *ulimits; uint32_t ulimit_count;
  uint32_t pids_limit;
  uint16_t columns, rows;
};

/* 0, or -1 when the message does not fit. What was read is to be freed in both cases. */
int read_machine(const uint8_t *body, size_t length, struct machine_request *out);
int read_process(const uint8_t *body, size_t length, struct process_request *out);
void free_machine(struct machine_request *request);
void free_process(struct process_request *request);

#endif
