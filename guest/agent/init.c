/* PID 1 of a microVM: brings the machine up, then serves the engine's requests until it is told to switch off. */
#define _GNU_SOURCE
#include "boot.h"
#include "cgroup.h"
#include "control.h"
#include "log.h"
#include "machine.h"
#include "session.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT_TIMEOUT_MS 10000
/* Even without a sign of the port, look for an engine this often. */
#define LOOK_AGAIN_MS 500
#define ENDLESS_MS 60000

static int watch_signals(void) {
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGCHLD);
  sigaddset(&watched, SIGIO);
  sigprocmask(SIG_BLOCK, &watched, NULL);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void reap(void) {
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) session_reaped(pid, status);
}

/* The kernel would kill the agent last of all; when it is gone the machine is too. */
static void protect_from_oom(void) {
  FILE *score = fopen("/proc/self/oom_score_adj", "we");
  if (!score) return;
  fputs("-1000", score);
  fclose(score);
}

static int open_engine_port(void) {
  int port = boot_wait_port("org.bulkhead.agent.0", PORT_TIMEOUT_MS);
  if (port < 0) {
    say("there is no port org.bulkhead.agent.0");
    machine_power_off();
  }
  /* The driver tells by SIGIO that an engine has come or gone. */
  fcntl(port, F_SETOWN, getpid());
  fcntl(port, F_SETFL, O_NONBLOCK | O_ASYNC);
  control_begin(port);
  return port;
}

static void serve(int port, int signals) {
  static struct pollfd polls[2 + SESSION_POLLS * MAX_SESSIONS];
  while (!session_may_power_off()) {
    int timeout_ms = ENDLESS_MS;
    short events = control_events();
    if (!events) timeout_ms = LOOK_AGAIN_MS;
    polls[0] = (struct pollfd){ signals, POLLIN, 0 };
    polls[1] = (struct pollfd){ events ? port : -1, events, 0 };
    size_t count = 2 + session_polls(polls + 2, &timeout_ms);
    int ready = poll(polls, count, timeout_ms);
    struct signalfd_siginfo facts;
    while (read(signals, &facts, sizeof facts) == sizeof facts)
      if (facts.ssi_signo == SIGIO) control_look_again();
    if (ready == 0 && !events) control_look_again();
    reap();
    if (ready > 0 && polls[1].revents) control_ready(polls[1].revents);
    session_turn();
    if (control_events() & POLLOUT) control_ready(POLLOUT);
  }
}

int main(void) {
  boot_file_systems();
  int signals = watch_signals();
  boot_modules();
  protect_from_oom();
  cgroup_make();
  int port = open_engine_port();
  session_ports(boot_port("org.bulkhead.stdout"), boot_port("org.bulkhead.stderr"));
  serve(port, signals);
  machine_power_off();
}
