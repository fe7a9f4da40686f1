/* Block devices of the machine. */
#define _GNU_SOURCE
#include "device.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 2000

static int by_serial(const char *serial, char *path, size_t size) {
  DIR *disks = opendir("/sys/block");
  struct dirent *disk;
  int found = 0;
  if (!disks) return 0;
  while (!found && (disk = readdir(disks))) {
    char line[64] = "", file_path[512];
    snprintf(file_path, sizeof file_path, "/sys/block/%s/serial", disk->d_name);
    FILE *file = fopen(file_path, "re");
    if (!file) {
      /* A SCSI disk has it in page 0x80 of its vital product data, after four bytes of header (SPC-4, 7.8.17). */
      snprintf(file_path, sizeof file_path, "/sys/block/%s/device/vpd_pg80", disk->d_name);
      file = fopen(file_path, "re");
      if (file && fseek(file, 4, SEEK_SET)) rewind(file);
    }
    if (!file) continue;
    if (fgets(line, sizeof line, file)) line[strcspn(line, "\n")] = 0;
    fclose(file);
    found = *line && strcmp(line, serial) == 0;
    if (found) snprintf(path, size, "/dev/%s", disk->d_name);
  }
  closedir(disks);
  return found;
}

static int find(const char *device, char *path, size_t size) {
  if (!*device || strchr(device, '/')) return 0;
  snprintf(path, size, "/dev/%s", device);
  if (access(path, F_OK) == 0 || by_serial(device, path, size)) return 1;
  if (strspn(device, "0123456789") != strlen(device)) return 0;
  long index = strtol(device, NULL, 10);
  if (index < 26) snprintf(path, size, "/dev/vd%c", (char)('a' + index));
  else if (index < 27 * 26) snprintf(path, size, "/dev/vd%c%c", (char)('a' + index / 26 - 1), (char)('a' + index % 26));
  else return 0;
  return access(path, F_OK) == 0;
}

int device_mount(const char *device, const char *target, const char *type, unsigned long flags,
                 struct failure *failure) {
  char path[300];
  struct timespec pause = { 0, 1000000 };
  for (int waited_ms = 0; !find(device, path, sizeof path); waited_ms++) {
    if (waited_ms == WAIT_MS) return fail(failure, FAIL_INVALID_MOUNT, "there is no disk %.100s", device);
    nanosleep(&pause, NULL);
  }
  if (mount(path, target, type, flags, NULL) == 0) return 0;
  return fail(failure, FAIL_INVALID_MOUNT, "cannot mount disk %.100s as %.20s: %s%s", device, type, strerror(errno),
              errno == ENODEV ? " (the kernel module is missing)" : "");
}
