/* What belongs to the whole machine. */
#define _GNU_SOURCE
#include "machine.h"
#include "log.h"
#include "root.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* linux/random.h, which a C library alone does not bring. */
#define ADD_ENTROPY _IOW('R', 0x03, int[2])
#define RESEED _IO('R', 0x07)

void machine_set_clock(uint64_t unix_time_ms) {
  struct timespec now = { (time_t)(unix_time_ms / 1000), (long)(unix_time_ms % 1000) * 1000000 };
  if (clock_settime(CLOCK_REALTIME, &now) < 0) say("clock: %s", strerror(errno));
}

static void add_entropy(const uint8_t *bytes, size_t length) {
  struct { int bits, size; uint8_t bytes[512]; } pool;
  if (length > sizeof pool.bytes) length = sizeof pool.bytes;
  memcpy(pool.bytes, bytes, length);
  pool.bits = (int)length * 8;
  pool.size = (int)length;
  int random = open("/dev/urandom", O_RDWR | O_CLOEXEC);
  if (random < 0 || ioctl(random, ADD_ENTROPY, &pool) < 0 || ioctl(random, RESEED) < 0)
    say("randomness: %s", strerror(errno));
  if (random >= 0) close(random);
  explicit_bzero(&pool, sizeof pool);
}

static int set_kernel_value(const struct setting *setting, struct failure *failure) {
  char path[300];
  snprintf(path, sizeof path, "/proc/sys/%s", setting->key);
  /* `net.ipv4.conf.eth0/1.x` is written with the slash for a dot inside a name, as sysctl(8) does. */
  for (char *at = path + 10; *at; at++) *at = *at == '.' ? '/' : *at == '/' ? '.' : *at;
  int file = strstr(path, "..") ? -1 : open(path, O_WRONLY | O_CLOEXEC);
  ssize_t length = (ssize_t)strlen(setting->value);
  int done = file >= 0 && write(file, setting->value, (size_t)length) == length;
  int error = errno;
  if (file >= 0) close(file);
  if (done) return 0;
  return fail(failure, FAIL_INVALID_REQUEST, "cannot set sysctl %.100s: %s", setting->key, strerror(error));
}

int machine_configure(const struct machine_request *machine, struct failure *failure) {
  if (machine->entropy_length) add_entropy(machine->entropy, machine->entropy_length);
  if (machine->unix_time_ms) machine_set_clock(machine->unix_time_ms);
  if (sethostname(machine->hostname, strlen(machine->hostname)) < 0)
    return fail(failure, FAIL_INVALID_REQUEST, "hostname: %s", strerror(errno));
  if (*machine->domainname && setdomainname(machine->domainname, strlen(machine->domainname)) < 0)
    return fail(failure, FAIL_INVALID_REQUEST, "domain name: %s", strerror(errno));
  for (uint32_t i = 0; i < machine->sysctl_count; i++)
    if (set_kernel_value(&machine->sysctls[i], failure) < 0) return -1;
  return 0;
}

void machine_power_off(void) {
  kill(-1, SIGKILL);
  while (waitpid(-1, NULL, 0) > 0) continue;
  root_release();
  reboot(RB_POWER_OFF);
  /* Without a power switch the host ends the machine. */
  reboot(RB_HALT_SYSTEM);
  for (;;) pause();
}
