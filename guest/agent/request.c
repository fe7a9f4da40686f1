/* What the host asks for, read from a message's body; the layout is in PROTOCOL.md. */
#include "request.h"
#include "message.h"
#include <stdlib.h>
#include <string.h>

/* Room for `count` items, at least one. */
static void *items(struct reader *reader, uint32_t count, size_t bytes) {
  void *list = calloc((size_t)count + 1, bytes);
  if (!list) reader->bad = 1;
  return list;
}

int read_machine(const uint8_t *body, size_t length, struct machine_request *out) {
  struct reader in = { body, length, 0 };
  memset(out, 0, sizeof *out);
  out->hostname = read_text(&in);
  out->domainname = read_text(&in);
  uint32_t count = read_count(&in, 8);
  out->layers = items(&in, count, sizeof *out->layers);
  for (uint32_t i = 0; i < count && !in.bad; i++) {
    out->layers[out->layer_count++] = (struct layer){ 0 };
    out->layers[i].device = read_text(&in);
    out->layers[i].type = read_text(&in);
  }
  out->upper_is_device = read_u8(&in);
  out->upper_device = read_text(&in);
  out->upper_size = read_u64(&in);
  out->read_only_root = read_u8(&in);
  count = read_count(&in, 18);
  out->mounts = items(&in, count, sizeof *out->mounts);
  for (uint32_t i = 0; i < count && !in.bad; i++) {
    struct mount_request *mount = &out->mounts[out->mount_count++];
    mount->is_9p = read_u8(&in);
    mount->source = read_text(&in);
    mount->target = read_text(&in);
    mount->type = read_text(&in);
    mount->subpath = read_text(&in);
    mount->read_only = read_u8(&in);
  }
  count = read_count(&in, 16);
  out->tmpfs = items(&in, count, sizeof *out->tmpfs);
  for (uint32_t i = 0; i < count && !in.bad; i++) {
    struct tmpfs_request *tmpfs = &out->tmpfs[out->tmpfs_count++];
    tmpfs->target = read_text(&in);
    tmpfs->size = read_u64(&in);
    tmpfs->mode = read_u32(&in);
  }
  out->shm_size = read_u64(&in);
  out->has_network = read_u8(&in);
  if (out->has_network) {
    out->interface = read_text(&in);
    out->ip = read_text(&in);
    out->prefix_length = read_u8(&in);
    out->gateway = read_text(&in);
  }
  out->hosts = read_text(&in);
  out->resolv_conf = read_text(&in);
  count = read_count(&in, 8);
  out->sysctls = items(&in, count, sizeof *out->sysctls);
  for (uint32_t i = 0; i < count && !in.bad; i++) {
    out->sysctls[out->sysctl_count++] = (struct setting){ 0 };
    out->sysctls[i].key = read_text(&in);
    out->sysctls[i].value = read_text(&in);
  }
  out->unix_time_ms = read_u64(&in);
  out->entropy = read_bytes(&in, &out->entropy_length);
  return in.bad || in.left > 0 ? -1 : 0;
}

int read_process(const uint8_t *body, size_t length, struct process_request *out) {
  struct reader in = { body, length, 0 };
  memset(out, 0, sizeof *out);
  out->args = read_texts(&in);
  out->env = read_texts(&in);
  out->cwd = read_text(&in);
  out->user = read_text(&in);
  out->groups = read_texts(&in);
  uint8_t flags = read_u8(&in);
  out->tty = flags & 1;
  out->has_stdin = flags >> 1 & 1;
  out->no_new_privileges = flags >> 2 & 1;
  out->init = flags >> 3 & 1;
  out->capabilities = read_u64(&in);
  uint32_t count = read_count(&in, 17);
  out->ulimits = items(&in, count, sizeof *out->ulimits);
  for (uint32_t i = 0; i < count && !in.bad; i++) {
    struct ulimit *limit = &out->ulimits[out->ulimit_count++];
    limit->resource = read_u8(&in);
    limit->soft = read_u64(&in);
    limit->hard = read_u64(&in);
  }
  out->pids_limit = read_u32(&in);
  out->columns = read_u16(&in);
  out->rows = read_u16(&in);
  return in.bad || in.left > 0 || !out->args[0] ? -1 : 0;
}

void free_machine(struct machine_request *request) {
  for (uint32_t i = 0; i < request->layer_count; i++) {
    free(request->layers[i].device);
    free(request->layers[i].type);
  }
  for (uint32_t i = 0; i < request->mount_count; i++) {
    struct mount_request *mount = &request->mounts[i];
    free(mount->source);
    free(mount->target);
    free(mount->type);
    free(mount->subpath);
  }
  for (uint32_t i = 0; i < request->tmpfs_count; i++) free(request->tmpfs[i].target);
  for (uint32_t i = 0; i < request->sysctl_count; i++) {
    free(request->sysctls[i].key);
    free(request->sysctls[i].value);
  }
  char *texts[] = { request->hostname, request->domainname, request->upper_device, request->interface,
                    request->ip,       request->gateway,    request->hosts,        request->resolv_conf };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
  free(request->layers);
  free(request->mounts);
  free(request->tmpfs);
  free(request->sysctls);
}

void free_process(struct process_request *request) {
  free_texts(request->args);
  free_texts(request->env);
  free_texts(request->groups);
  free(request->cwd);
  free(request->user);
  free(request->ulimits);
}
