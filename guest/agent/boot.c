/* The first steps of PID 1. What is missing is said and left to fail where it is needed. */
#define _GNU_SOURCE
#include "boot.h"
#include "log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void mount_at(const char *type, const char *target, unsigned long flags, const char *data) {
  mkdir(target, 0755);
  if (mount(type, target, type, flags, data) < 0 && errno != EBUSY)
    say("cannot mount %s: %s", target, strerror(errno));
}

void boot_file_systems(void) {
  umask(022);
  mount_at("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
  mount_at("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_at("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_at("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_at("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755");
}

void boot_modules(void) {
  FILE *list = fopen("/modules.list", "re");
  char path[512];
  if (!list) return;
  while (fgets(path, sizeof path, list)) {
    path[strcspn(path, "\n")] = 0;
    if (!*path) continue;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || (syscall(SYS_finit_module, file, "", 0) < 0 && errno != EEXIST))
      say("module %s: %s", path, strerror(errno));
    if (file >= 0) close(file);
    /* The initramfs is memory: a loaded module's file is only weight. */
    unlink(path);
  }
  fclose(list);
}

int boot_port(const char *name) {
  DIR *ports = opendir("/sys/class/virtio-ports");
  struct dirent *entry;
  int found = -1;
  if (!ports) return -1;
  while (found < 0 && (entry = readdir(ports))) {
    char path[512], line[128] = "";
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
    FILE *file = fopen(path, "re");
    if (!file) continue;
    if (!fgets(line, sizeof line, file)) line[0] = 0;
    fclose(file);
    line[strcspn(line, "\n")] = 0;
    if (strcmp(line, name) != 0) continue;
    snprintf(path, sizeof path, "/dev/%s", entry->d_name);
    found = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  closedir(ports);
  return found;
}

int boot_wait_port(const char *name, int timeout_ms) {
  struct timespec pause = { 0, 1000000 };
  for (int waited_ms = 0; waited_ms <= timeout_ms; waited_ms++) {
    int port = boot_port(name);
    if (port >= 0) return port;
    nanosleep(&pause, NULL);
  }
  return -1;
}
