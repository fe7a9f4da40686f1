/* The machine's one network interface and its loopback, by the classic ioctls (netdevice(7)). */
#define _GNU_SOURCE
#include "network.h"
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 2000

static int set_address(struct sockaddr *where, const char *text, uint32_t mask) {
  struct sockaddr_in address = { .sin_family = AF_INET };
  address.sin_addr.s_addr = htonl(mask);
  if (text && inet_pton(AF_INET, text, &address.sin_addr) != 1) return -1;
  memcpy(where, &address, sizeof address);
  return 0;
}

static int bring_up(int control, const char *name) {
  struct ifreq request = { 0 };
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(control, SIOCGIFFLAGS, &request) < 0) return -1;
  request.ifr_flags |= IFF_UP | IFF_RUNNING;
  return ioctl(control, SIOCSIFFLAGS, &request);
}

static int configure_interface(int control, const struct machine_request *machine, struct failure *failure) {
  struct ifreq request = { 0 };
  struct rtentry route = { 0 };
  struct timespec pause = { 0, 1000000 };
  strncpy(request.ifr_name, machine->interface, IFNAMSIZ - 1);
  for (int waited_ms = 0; ioctl(control, SIOCGIFINDEX, &request) < 0; waited_ms++) {
    if (waited_ms == WAIT_MS) return fail(failure, FAIL_START, "there is no network interface %.15s", machine->interface);
    nanosleep(&pause, NULL);
  }
  if (machine->prefix_length > 32 || set_address(&request.ifr_addr, machine->ip, 0) < 0)
    return fail(failure, FAIL_INVALID_REQUEST, "malformed address %.40s/%u", machine->ip, machine->prefix_length);
  if (ioctl(control, SIOCSIFADDR, &request) < 0) return fail(failure, FAIL_START, "address: %s", strerror(errno));
  uint32_t mask = machine->prefix_length == 0 ? 0 : 0xffffffffu << (32 - machine->prefix_length);
  set_address(&request.ifr_netmask, NULL, mask);
  if (ioctl(control, SIOCSIFNETMASK, &request) < 0) return fail(failure, FAIL_START, "netmask: %s", strerror(errno));
  if (bring_up(control, machine->interface) < 0) return fail(failure, FAIL_START, "interface: %s", strerror(errno));
  if (!*machine->gateway) return 0;
  if (set_address(&route.rt_gateway, machine->gateway, 0) < 0)
    return fail(failure, FAIL_INVALID_REQUEST, "malformed gateway %.40s", machine->gateway);
  set_address(&route.rt_dst, NULL, 0);
  set_address(&route.rt_genmask, NULL, 0);
  route.rt_flags = RTF_UP | RTF_GATEWAY;
  if (ioctl(control, SIOCADDRT, &route) < 0 && errno != EEXIST)
    return fail(failure, FAIL_START, "default route: %s", strerror(errno));
  return 0;
}

int network_configure(const struct machine_request *machine, struct failure *failure) {
  int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (control < 0) return fail(failure, FAIL_START, "no sockets: %s", strerror(errno));
  bring_up(control, "lo");
  int done = machine->has_network ? configure_interface(control, machine, failure) : 0;
  close(control);
  return done;
}
