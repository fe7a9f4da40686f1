/* Makes the machine ready for the task: modules, mounts, network, clock, randomness. */
#define _GNU_SOURCE
#include "guest.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <net/if.h>
#include <net/route.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

int fail(struct failure *why, const char *code, const char *format, ...) {
  va_list rest;
  va_start(rest, format);
  snprintf(why->code, sizeof why->code, "%s", code);
  vsnprintf(why->message, sizeof why->message, format, rest);
  va_end(rest);
  return -1;
}

static void write_text(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return;
  for (size_t left = strlen(text); left;) {
    ssize_t n = write(fd, text, left);
    if (n <= 0) break;
    text += n;
    left -= (size_t)n;
  }
  close(fd);
}

void early_mounts(void) {
  mkdir("/proc", 0755); mkdir("/sys", 0755); mkdir("/dev", 0755); mkdir("/run", 0755); mkdir("/cg", 0755); mkdir(ROOT, 0755);
  mount("proc", "/proc", "proc", 0, NULL);
  mount("sysfs", "/sys", "sysfs", 0, NULL);
  mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
  mount("tmpfs", "/run", "tmpfs", 0, "mode=755");
  mount("cgroup2", "/cg", "cgroup2", 0, NULL);
  write_text("/cg/cgroup.subtree_control", "+pids +memory +cpu");
  mkdir(TASK_CGROUP, 0755);
  /* The agent must outlive a task that eats all memory. */
  write_text("/proc/self/oom_score_adj", "-1000");
}

void load_modules(void) {
  FILE *list = fopen("/modules.list", "re");
  char path[256];
  while (list && fgets(path, sizeof path, list)) {
    path[strcspn(path, "\n")] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    syscall(SYS_finit_module, fd, "", 0);
    close(fd);
  }
  if (list) fclose(list);
}

static int make_directories(const char *path, mode_t mode) {
  char copy[4096];
  if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy) return -1;
  for (char *p = copy + 1; *p; p++) {
    if (*p != '/') continue;
    *p = 0;
    mkdir(copy, 0755);
    *p = '/';
  }
  return mkdir(copy, mode) == 0 || errno == EEXIST ? 0 : -1;
}

/* The place of `target` below the new root. Done chrooted, so that links of the image lead nowhere else. */
static int inside(const char *target, int is_file) {
  char path[4096];
  snprintf(path, sizeof path, "%s", target);
  if (is_file) {
    char *slash = strrchr(path, '/');
    if (slash && slash != path) { *slash = 0; make_directories(path, 0755); }
    int fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0) close(fd);
    return 0;
  }
  return make_directories(path, 0755);
}

static int wait_for(const char *device) {
  struct timespec pause = {0, 5 * 1000 * 1000};
  for (int i = 0; i < 1000; i++) {
    if (access(device, F_OK) == 0) return 0;
    nanosleep(&pause, NULL);
  }
  return -1;
}

static int mount_layers(struct reader *r, struct failure *why) {
  uint32_t count = read32(r);
  if (count > 250) return fail(why, "invalid_manifest", "an image of %u layers is more than the guest can mount", count);
  static char lower[16384];
  size_t used = 0;
  lower[0] = 0;
  char path[64], device[64];
  mkdir("/layers", 0755);
  for (uint32_t i = 0; i < count; i++) {
    char *name = read_string(r, NULL), *type = read_string(r, NULL);
    snprintf(path, sizeof path, "/layers/%u", i);
    snprintf(device, sizeof device, "/dev/%.40s", name);
    mkdir(path, 0755);
    if (wait_for(device) || mount(device, path, type, MS_RDONLY | MS_NODEV, NULL)) return fail(why, "start_failed", "layer %u on %s cannot be mounted: %s", i, device, strerror(errno));
    free(name); free(type);
  }
  for (uint32_t i = count; i-- > 0;) used += (size_t)snprintf(lower + used, sizeof lower - used, "%s/layers/%u", used ? ":" : "", i);
  uint8_t on_memory = read8(r);
  char *name = read_string(r, NULL);
  uint64_t size = read64(r);
  mkdir("/upper", 0755);
  if (on_memory) {
    snprintf(path, sizeof path, "mode=755%s%llu", size ? ",size=" : ",nr_inodes=0,size=", (unsigned long long)size);
    if (mount("tmpfs", "/upper", "tmpfs", 0, path)) return fail(why, "start_failed", "the writable layer: %s", strerror(errno));
  } else {
    snprintf(device, sizeof device, "/dev/%.40s", name);
    if (wait_for(device) || mount(device, "/upper", "ext4", MS_NOATIME, NULL)) return fail(why, "start_failed", "the writable layer on %s: %s", device, strerror(errno));
  }
  free(name);
  mkdir("/upper/up", 0755); mkdir("/upper/work", 0755);
  if (count == 0) { mkdir("/layers/none", 0755); snprintf(lower, sizeof lower, "/layers/none"); }
  static char options[20000];
  snprintf(options, sizeof options, "lowerdir=%s,upperdir=/upper/up,workdir=/upper/work", lower);
  if (strlen(options) > 4095) return fail(why, "start_failed", "too many layers for one mount");
  if (mount("overlay", ROOT, "overlay", MS_NODEV, options)) return fail(why, "start_failed", "overlay: %s", strerror(errno));
  return 0;
}

static void make_devices(void) {
  static const struct { const char *name; int major, minor; } nodes[] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
  char path[64];
  umask(0);
  for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
    snprintf(path, sizeof path, "/dev/%s", nodes[i].name);
    mknod(path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor));
  }
  umask(022);
  symlink("/proc/self/fd", "/dev/fd"); symlink("/proc/self/fd/0", "/dev/stdin"); symlink("/proc/self/fd/1", "/dev/stdout");
  symlink("/proc/self/fd/2", "/dev/stderr"); symlink("pts/ptmx", "/dev/ptmx"); symlink("/proc/kcore", "/dev/core");
  unlink("/dev/core");
}

static int network_up(struct reader *r, struct failure *why) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {0};
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  ioctl(fd, SIOCSIFFLAGS, &request);
  if (!read8(r)) { close(fd); return 0; }
  char *name = read_string(r, NULL), *ip = read_string(r, NULL);
  uint8_t prefix = read8(r);
  char *gateway = read_string(r, NULL);
  int bad = 0;
  struct sockaddr_in address = {.sin_family = AF_INET};
  memset(&request, 0, sizeof request);
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  char path[80];
  snprintf(path, sizeof path, "/sys/class/net/%.20s", name);
  wait_for(path);
  inet_pton(AF_INET, ip, &address.sin_addr);
  memcpy(&request.ifr_addr, &address, sizeof address);
  bad |= ioctl(fd, SIOCSIFADDR, &request);
  address.sin_addr.s_addr = htonl(prefix ? ~0u << (32 - (prefix & 31 ? prefix : 32)) : 0);
  memcpy(&request.ifr_netmask, &address, sizeof address);
  bad |= ioctl(fd, SIOCSIFNETMASK, &request);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  bad |= ioctl(fd, SIOCSIFFLAGS, &request);
  struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
  struct sockaddr_in any = {.sin_family = AF_INET};
  memcpy(&route.rt_dst, &any, sizeof any);
  memcpy(&route.rt_genmask, &any, sizeof any);
  inet_pton(AF_INET, gateway, &any.sin_addr);
  memcpy(&route.rt_gateway, &any, sizeof any);
  bad |= ioctl(fd, SIOCADDRT, &route);
  close(fd);
  int result = bad ? fail(why, "start_failed", "the network %s %s via %s: %s", name, ip, gateway, strerror(errno)) : 0;
  free(name); free(ip); free(gateway);
  return result;
}

void set_clock(uint64_t unix_ms) {
  struct timespec now = {(time_t)(unix_ms / 1000), (long)(unix_ms % 1000) * 1000000};
  clock_settime(CLOCK_REALTIME, &now);
}

static void add_entropy(const char *bytes, size_t length) {
  struct { int bits, size; char data[256]; } pool = {.size = (int)(length < 256 ? length : 256)};
  pool.bits = pool.size * 8;
  memcpy(pool.data, bytes, (size_t)pool.size);
  int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  ioctl(fd, RNDADDENTROPY, &pool);
  ioctl(fd, RNDRESEEDCRNG);
  close(fd);
}

struct wanted_mount { uint8_t kind, read_only; char *source, *target, *type; };

int configure(struct reader *r, struct failure *why) {
  char *hostname = read_string(r, NULL), *domain = read_string(r, NULL);
  sethostname(hostname, strlen(hostname));
  if (*domain) setdomainname(domain, strlen(domain));
  if (mount_layers(r, why)) return -1;
  uint8_t read_only = read8(r);
  uint32_t mounts = read32(r);
  if (mounts > 256) return fail(why, "invalid_mount", "more than 256 mounts");
  struct wanted_mount *wanted = calloc(mounts + 1, sizeof *wanted);
  for (uint32_t i = 0; i < mounts; i++) {
    wanted[i].kind = read8(r);
    wanted[i].source = read_string(r, NULL);
    wanted[i].target = read_string(r, NULL);
    wanted[i].type = read_string(r, NULL);
    wanted[i].read_only = read8(r);
  }
  uint32_t memory_mounts = read32(r);
  if (memory_mounts > 256) return fail(why, "invalid_mount", "more than 256 tmpfs");
  struct { char *target; uint64_t size; uint32_t mode; } *tmp = calloc(memory_mounts + 1, sizeof *tmp);
  for (uint32_t i = 0; i < memory_mounts; i++) { tmp[i].target = read_string(r, NULL); tmp[i].size = read64(r); tmp[i].mode = read32(r); }
  uint64_t shm = read64(r);
  if (network_up(r, why)) return -1;
  char *hosts = read_string(r, NULL), *resolv = read_string(r, NULL);
  uint32_t sysctls = read32(r);
  for (uint32_t i = 0; i < sysctls && !r->bad; i++) {
    char *name = read_string(r, NULL), *value = read_string(r, NULL), path[512];
    for (char *p = name; *p; p++) if (*p == '.') *p = '/';
    snprintf(path, sizeof path, "/proc/sys/%.400s", name);
    if (!strstr(name, "..")) write_text(path, value);
    free(name); free(value);
  }
  set_clock(read64(r));
  size_t entropy_length;
  char *entropy = read_string(r, &entropy_length);
  add_entropy(entropy, entropy_length);
  if (r->bad) return fail(why, "internal", "the configuration message is cut short");
  write_text("/run/hosts", hosts);
  write_text("/run/resolv.conf", resolv);
  snprintf(why->message, sizeof why->message, "%.400s\n", hostname);
  write_text("/run/hostname", why->message);

  /* Mount points are made from inside, mounts from outside of the root. */
  static const char *own[] = {"/proc", "/sys", "/dev", "/etc"};
  int here = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (chroot(ROOT) || chdir("/")) return fail(why, "start_failed", "chroot: %s", strerror(errno));
  for (size_t i = 0; i < 4; i++) inside(own[i], 0);
  inside("/etc/hosts", 1); inside("/etc/resolv.conf", 1); inside("/etc/hostname", 1);
  mount("tmpfs", "/dev", "tmpfs", MS_NOSUID, "mode=755,size=65536k");
  mkdir("/dev/pts", 0755); mkdir("/dev/shm", 01777); mkdir("/dev/mqueue", 0755);
  make_devices();
  mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
  mount("mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
  mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL);
  char options[128];
  snprintf(options, sizeof options, "mode=1777,size=%llu", (unsigned long long)(shm ? shm : 64 << 20));
  mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, options);
  int result = 0;
  for (uint32_t i = 0; i < mounts && !result; i++) {
    unsigned long flags = MS_NOSUID | MS_NODEV | (wanted[i].read_only ? MS_RDONLY : 0);
    /* A share that holds one file named "file" is that file. */
    if (!strcmp(wanted[i].type, "9p-file")) {
      mkdir("/dev/.file", 0700);
      inside(wanted[i].target, 1);
      if (mount(wanted[i].source, "/dev/.file", "9p", flags, "trans=virtio,version=9p2000.L,msize=262144,cache=mmap,access=client") || mount("/dev/.file/file", wanted[i].target, NULL, MS_BIND, NULL))
        result = fail(why, "invalid_mount", "%s: %s", wanted[i].target, strerror(errno));
      umount2("/dev/.file", MNT_DETACH);
      continue;
    }
    inside(wanted[i].target, 0);
    const char *data = wanted[i].kind ? "trans=virtio,version=9p2000.L,msize=262144,cache=mmap,access=client" : NULL;
    if (mount(wanted[i].source, wanted[i].target, wanted[i].type, flags, data)) result = fail(why, "invalid_mount", "%s: %s", wanted[i].target, strerror(errno));
  }
  for (uint32_t i = 0; i < memory_mounts && !result; i++) {
    inside(tmp[i].target, 0);
    if (tmp[i].size) snprintf(options, sizeof options, "mode=%o,size=%llu", tmp[i].mode ? tmp[i].mode : 01777, (unsigned long long)tmp[i].size);
    else snprintf(options, sizeof options, "mode=%o", tmp[i].mode ? tmp[i].mode : 01777);
    if (mount("tmpfs", tmp[i].target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options)) result = fail(why, "invalid_mount", "%s: %s", tmp[i].target, strerror(errno));
  }
  fchdir(here);
  chroot(".");
  close(here);
  if (result) return result;
  static const char *files[][2] = {{"/run/hosts", ROOT "/etc/hosts"}, {"/run/resolv.conf", ROOT "/etc/resolv.conf"}, {"/run/hostname", ROOT "/etc/hostname"}};
  for (size_t i = 0; i < 3; i++) mount(files[i][0], files[i][1], NULL, MS_BIND, NULL);
  if (read_only && mount(NULL, ROOT, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV, NULL)) return fail(why, "start_failed", "read-only root: %s", strerror(errno));
  return 0;
}

void power_off(void) {
  sync();
  umount2(ROOT, MNT_DETACH);
  umount2("/upper", 0);
  sync();
  reboot(RB_POWER_OFF);
  for (;;) pause();
}
