/* The task's root file system: read-only layers below one writable layer, then mounts, then the files the engine writes. */
#define _GNU_SOURCE
#include "root.h"
#include "device.h"
#include "path.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES "/run/files"
#define VOLUMES "/run/volumes"
#define MAX_LAYERS 500

static int mount_layers(const struct machine_request *machine, struct failure *failure) {
  char options[8192] = "lowerdir=";
  if (machine->layer_count == 0 || machine->layer_count > MAX_LAYERS)
    return fail(failure, FAIL_INVALID_REQUEST, "%u layers", machine->layer_count);
  mkdir("/l", 0700);
  for (uint32_t i = 0; i < machine->layer_count; i++) {
    char target[32];
    snprintf(target, sizeof target, "/l/%u", i);
    mkdir(target, 0700);
    if (device_mount(machine->layers[i].device, target, machine->layers[i].type, MS_RDONLY, failure) < 0) return -1;
  }
  mkdir("/upper", 0700);
  if (machine->upper_is_device) {
    if (device_mount(machine->upper_device, "/upper", "ext4", MS_NOATIME, failure) < 0) return -1;
  } else {
    char size[64] = "mode=0755";
    if (machine->upper_size)
      snprintf(size, sizeof size, "mode=0755,size=%llu", (unsigned long long)machine->upper_size);
    if (mount("tmpfs", "/upper", "tmpfs", 0, size) < 0)
      return fail(failure, FAIL_START, "cannot mount the writable layer: %s", strerror(errno));
  }
  mkdir("/upper/upper", 0755);
  mkdir("/upper/work", 0700);
  /* Relative names keep the options of 500 layers within one page. */
  if (chdir("/l") < 0) return fail(failure, FAIL_START, "%s", strerror(errno));
  size_t used = strlen(options);
  for (uint32_t i = machine->layer_count; i-- > 0;)
    used += (size_t)snprintf(options + used, sizeof options - used, "%u%s", i, i ? ":" : "");
  snprintf(options + used, sizeof options - used, ",upperdir=/upper/upper,workdir=/upper/work");
  mkdir(ROOT, 0755);
  int done = mount("overlay", ROOT, "overlay", 0, options);
  int error = errno;
  if (chdir("/") < 0 || done < 0)
    return fail(failure, FAIL_START, "cannot lay the layers over each other: %s", strerror(error));
  return 0;
}

static int mount_new(int root, const char *type, const char *target, unsigned long flags, const char *data,
                     struct failure *failure) {
  int at = path_make(root, target, 1, failure);
  if (at < 0) return -1;
  int done = path_mount(type, at, type, flags, data);
  int error = errno;
  close(at);
  if (done < 0) return fail(failure, FAIL_INVALID_MOUNT, "cannot mount %s at %s: %s", type, target, strerror(error));
  return 0;
}

static int make_dev(int root, uint64_t shm_size, struct failure *failure) {
  static const struct { const char *name; unsigned minor_of; unsigned major_of; } nodes[] = {
    { "null", 3, 1 }, { "zero", 5, 1 }, { "full", 7, 1 }, { "random", 8, 1 }, { "urandom", 9, 1 }, { "tty", 0, 5 },
  };
  static const char *const links[][2] = {
    { "pts/ptmx", "ptmx" }, { "/proc/self/fd", "fd" }, { "/proc/self/fd/0", "stdin" },
    { "/proc/self/fd/1", "stdout" }, { "/proc/self/fd/2", "stderr" },
  };
  char data[64];
  if (mount_new(root, "tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k", failure) < 0) return -1;
  int dev = path_open(root, "/dev", O_RDONLY | O_DIRECTORY);
  mode_t mask = umask(0);
  for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
    mknodat(dev, nodes[i].name, S_IFCHR | 0666, (dev_t)(nodes[i].major_of << 8 | nodes[i].minor_of));
  umask(mask);
  for (size_t i = 0; i < sizeof links / sizeof *links; i++)
    if (symlinkat(links[i][0], dev, links[i][1]) < 0) { /* The task can do without. */ }
  close(dev);
  if (mount_new(root, "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5",
                failure) < 0)
    return -1;
  snprintf(data, sizeof data, "mode=1777,size=%llu", (unsigned long long)(shm_size ? shm_size : 64 << 20));
  return mount_new(root, "tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV | MS_NOEXEC, data, failure);
}

/* A file of the engine's appears at `target`. */
static int provide_file(int root, const char *target, const char *content, struct failure *failure) {
  char source[128];
  snprintf(source, sizeof source, FILES "%s", strrchr(target, '/'));
  mkdir(FILES, 0755);
  int file = open(source, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  ssize_t length = (ssize_t)strlen(content);
  if (file < 0 || write(file, content, (size_t)length) != length)
    return fail(failure, FAIL_START, "cannot write %s: %s", target, strerror(errno));
  close(file);
  int at = path_make(root, target, 0, failure);
  if (at < 0) return -1;
  int done = path_mount(source, at, NULL, MS_BIND, NULL);
  close(at);
  return done < 0 ? fail(failure, FAIL_START, "cannot provide %s: %s", target, strerror(errno)) : 0;
}

static int mount_volume(int root, uint32_t index, const struct mount_request *mount_of, struct failure *failure) {
  char volume[64], *source = mount_of->source;
  unsigned long flags = mount_of->read_only ? MS_RDONLY : 0;
  snprintf(volume, sizeof volume, VOLUMES "/%u", index);
  mkdir(VOLUMES, 0700);
  mkdir(volume, 0700);
  if (mount_of->is_9p) {
    if (mount(source, volume, "9p", flags, "trans=virtio,version=9p2000.L,msize=262144,cache=mmap") < 0)
      return fail(failure, FAIL_INVALID_MOUNT, "cannot mount the share for %s: %s", mount_of->target, strerror(errno));
  } else if (device_mount(source, volume, mount_of->type, flags, failure) < 0)
    return -1;
  int share = open(volume, O_PATH | O_DIRECTORY | O_CLOEXEC);
  int from = share < 0 ? -1 : path_open(share, mount_of->subpath, O_PATH);
  if (share >= 0) close(share);
  struct stat facts;
  if (from < 0 || fstat(from, &facts) < 0)
    return fail(failure, FAIL_INVALID_MOUNT, "the source of %s is missing: %s", mount_of->target, strerror(errno));
  int at = path_make(root, mount_of->target, S_ISDIR(facts.st_mode), failure);
  if (at < 0) return -1;
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", from);
  int done = path_mount(path, at, NULL, MS_BIND, NULL);
  int error = errno;
  close(at);
  close(from);
  if (done < 0) return fail(failure, FAIL_INVALID_MOUNT, "cannot mount %s: %s", mount_of->target, strerror(error));
  return 0;
}

static int depth(const char *path) {
  int slashes = 0;
  for (; *path; path++) slashes += *path == '/' && path[1] != '/' && path[1];
  return slashes;
}

/* Outer targets first, so that none hides another. */
static int mount_all(int root, const struct machine_request *machine, struct failure *failure) {
  uint32_t done = 0;
  for (int level = 0; done < machine->mount_count + machine->tmpfs_count; level++) {
    for (uint32_t i = 0; i < machine->mount_count; i++) {
      if (depth(machine->mounts[i].target) != level) continue;
      if (mount_volume(root, i, &machine->mounts[i], failure) < 0) return -1;
      done++;
    }
    for (uint32_t i = 0; i < machine->tmpfs_count; i++) {
      const struct tmpfs_request *tmpfs = &machine->tmpfs[i];
      char data[64];
      if (depth(tmpfs->target) != level) continue;
      int used = snprintf(data, sizeof data, "mode=%o", tmpfs->mode & 07777);
      if (tmpfs->size)
        snprintf(data + used, sizeof data - (size_t)used, ",size=%llu", (unsigned long long)tmpfs->size);
      if (mount_new(root, "tmpfs", tmpfs->target, MS_NOSUID | MS_NODEV, data, failure) < 0) return -1;
      done++;
    }
  }
  return 0;
}

int root_assemble(const struct machine_request *machine, struct failure *failure) {
  char hostname[300];
  if (mount_layers(machine, failure) < 0) return -1;
  int root = open(ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return fail(failure, FAIL_START, "%s", strerror(errno));
  int proc = path_make(root, "/proc", 1, failure);
  if (proc < 0) return -1;
  close(proc);
  snprintf(hostname, sizeof hostname, "%s\n", machine->hostname);
  int done = mount_new(root, "sysfs", "/sys", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, failure);
  if (done == 0) done = make_dev(root, machine->shm_size, failure);
  if (done == 0) done = provide_file(root, "/etc/hosts", machine->hosts, failure);
  if (done == 0) done = provide_file(root, "/etc/hostname", hostname, failure);
  if (done == 0) done = provide_file(root, "/etc/resolv.conf", machine->resolv_conf, failure);
  if (done == 0) done = mount_all(root, machine, failure);
  close(root);
  if (done == 0 && machine->read_only_root && mount(NULL, ROOT, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
    done = fail(failure, FAIL_START, "cannot make the root read-only: %s", strerror(errno));
  return done;
}

void root_release(void) {
  char volume[64];
  sync();
  umount2(ROOT, MNT_DETACH);
  for (int i = 0; i < 1024; i++) {
    snprintf(volume, sizeof volume, VOLUMES "/%d", i);
    if (access(volume, F_OK) < 0) break;
    umount2(volume, MNT_DETACH);
  }
  if (umount2("/upper", 0) < 0) mount(NULL, "/upper", NULL, MS_REMOUNT | MS_RDONLY, NULL);
  sync();
}
