/* The task and its execs: who they are, what they wait for, how they end. */
#define _GNU_SOURCE
#include "session.h"
#include "cgroup.h"
#include "control.h"
#include "frame.h"
#include "launch.h"
#include "message.h"
#include "stream.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
/* How long an exec's outputs may stay open in other hands after it has ended. */
#define GRACE_MS 20.0
/* An answer that was just queued needs this long to leave the machine. */
#define FAREWELL_MS 3.0

static struct session *sessions[MAX_SESSIONS];
static struct sink sinks[2] = { { .port = -1 }, { .port = -1 } };
static struct session *task;
static int task_started, task_pidfd = -1;
static uint64_t oom_kills_before;
/* The unacknowledged end of the task. */
static int exit_known, exit_code, exit_oom;
static double power_off_at_ms;

void session_ports(int stdout_port, int stderr_port) {
  sinks[0].port = stdout_port;
  sinks[1].port = stderr_port;
}

static struct session *find(uint32_t stream) {
  for (int i = 0; i < MAX_SESSIONS; i++)
    if (sessions[i] && sessions[i]->stream == stream) return sessions[i];
  return NULL;
}

static int choose_view(int is_task, const struct process_request *process, enum view *view, struct failure *failure) {
  *view = is_task ? VIEW_NEW : VIEW_BESIDE_TASK;
  if (is_task && task_started) return fail(failure, FAIL_WRONG_STATE, "the task has been started already");
  if (is_task || (task && task->launched && !task->reaped)) return 0;
  if (strcmp(process->args[0], OWN_BUSYBOX) != 0) return fail(failure, FAIL_WRONG_STATE, "the task is not running");
  *view = VIEW_ALONE;
  return 0;
}

int session_begin(uint32_t stream, int is_task, const struct process_request *process, struct failure *failure) {
  enum view view;
  int slot = 0;
  while (slot < MAX_SESSIONS && sessions[slot]) slot++;
  if (slot == MAX_SESSIONS) return fail(failure, FAIL_WRONG_STATE, "%d processes are attached already", MAX_SESSIONS);
  if (choose_view(is_task, process, &view, failure) < 0) return -1;
  struct session *session = calloc(1, sizeof *session);
  if (!session) return fail(failure, FAIL_START, "the machine has no memory left");
  if (is_task) {
    cgroup_limit_pids(process->pids_limit);
    oom_kills_before = cgroup_oom_kills();
  }
  struct launch launched = { .process = process, .view = view, .task_pidfd = task_pidfd };
  pid_t pid = launch(&launched, failure);
  if (pid < 0) {
    free(session);
    return -1;
  }
  *session = (struct session){
    .stream = is_task ? 0 : stream, .request = stream, .pid = pid, .is_task = is_task, .tty = process->tty,
    .status_fd = launched.status, .input = launched.input, .output = launched.output, .errors = launched.errors,
    .credit = { WINDOW_BYTES, WINDOW_BYTES },
  };
  sessions[slot] = session;
  if (is_task) {
    task = session;
    task_started = 1;
    task_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (task_pidfd >= 0) fcntl(task_pidfd, F_SETFD, FD_CLOEXEC);
  }
  return 0;
}

void session_input(uint32_t stream, const uint8_t *bytes, size_t length) {
  struct session *session = find(stream);
  if (session) stream_accept(session, bytes, length);
}

void session_input_end(uint32_t stream) {
  struct session *session = find(stream);
  if (!session) return;
  session->input_ends = 1;
  stream_feed(session);
}

void session_resize(uint32_t stream, uint16_t columns, uint16_t rows) {
  struct session *session = find(stream);
  struct winsize size = { rows, columns, 0, 0 };
  if (session && session->tty && session->input >= 0) ioctl(session->input, TIOCSWINSZ, &size);
}

void session_grant(uint32_t stream, uint8_t output, uint32_t bytes) {
  struct session *session = find(stream);
  if (session && (output == 1 || output == 2)) session->credit[output - 1] += bytes;
}

static void close_streams(struct session *session) {
  stream_close(&session->input);
  stream_close(&session->output);
  stream_close(&session->errors);
}

void session_hang_up(uint32_t stream) {
  struct session *session = find(stream);
  if (!session || session->is_task) return;
  if (!session->reaped) kill(session->pid, SIGKILL);
  close_streams(session);
}

void session_forget_engine(void) {
  for (int i = 0; i < MAX_SESSIONS; i++)
    if (sessions[i] && !sessions[i]->is_task) {
      sessions[i]->abandoned = 1;
      close_streams(sessions[i]);
    }
}

int session_signal_task(int signal_number, struct failure *failure) {
  if (!task || task->reaped) return fail(failure, FAIL_WRONG_STATE, "the task is not running");
  if (signal_number <= 0 || kill(task->pid, signal_number) < 0)
    return fail(failure, FAIL_INVALID_REQUEST, "cannot send signal %d: %s", signal_number, strerror(errno));
  return 0;
}

int session_task_started(void) { return task_started; }

uint32_t session_task_credit(void) {
  if (!task) return WINDOW_BYTES;
  /* What is owed goes to the new engine with its greeting. */
  task->owed = 0;
  return (uint32_t)(WINDOW_BYTES - task->pending_length);
}

void session_power_off(void) {
  double longest_ms = FAREWELL_MS;
  for (int i = 0; i < 2; i++)
    if (sink_drain_ms(&sinks[i]) > longest_ms) longest_ms = sink_drain_ms(&sinks[i]);
  power_off_at_ms = now_ms() + longest_ms;
}

int session_may_power_off(void) { return power_off_at_ms > 0 && now_ms() >= power_off_at_ms; }

void session_reaped(pid_t pid, int status) {
  for (int i = 0; i < MAX_SESSIONS; i++) {
    struct session *session = sessions[i];
    if (!session || session->pid != pid || session->reaped) continue;
    session->reaped = 1;
    session->reaped_at_ms = now_ms();
    session->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    /* Nobody is left to read it. */
    session->input_ends = 1;
    if (!session->tty) stream_close(&session->input);
  }
}

static void send_exit(uint32_t stream, int code, int oom) {
  uint8_t bytes[8];
  struct writer out = { bytes, 0, sizeof bytes };
  write_u32(&out, (uint32_t)code);
  write_u8(&out, (uint8_t)oom);
  control_send(HOST_EXIT, stream, bytes, out.length);
}

void session_repeat_exit(void) {
  if (exit_known) send_exit(0, exit_code, exit_oom);
}

/* Has the program begun, or said why not? */
static int check_launch(struct session *session) {
  struct failure failure;
  uint8_t bytes[4];
  struct writer out = { bytes, 0, sizeof bytes };
  ssize_t count = read(session->status_fd, &failure, sizeof failure);
  if (count < 0) return 0;
  stream_close(&session->status_fd);
  if (count == 0 && session->reaped && session->code == 127) count = -1;
  if (count == 0) {
    session->launched = 1;
    write_u32(&out, (uint32_t)session->pid);
    if (!session->abandoned) control_ok(session->request, bytes, out.length);
    return 0;
  }
  if (count != sizeof failure) fail(&failure, FAIL_START, "the process ended before its program began");
  failure.text[sizeof failure.text - 1] = 0;
  if (!session->abandoned) control_error(session->request, &failure);
  return -1;
}

static int outputs_done(struct session *session) {
  if (session->output < 0 && session->errors < 0) return 1;
  /* What the process itself wrote was there when it ended; a window that is used up is waited for. */
  if (session->is_task || now_ms() - session->reaped_at_ms < GRACE_MS) return 0;
  int files[] = { session->output, session->errors };
  for (int i = 0; i < 2; i++) {
    struct pollfd poll_of = { files[i], POLLIN, 0 };
    if (files[i] >= 0 && poll(&poll_of, 1, 0) > 0 && poll_of.revents & POLLIN) return 0;
  }
  return 1;
}

/* True when nothing of the session is left to do. */
static int conclude(struct session *session) {
  if (!session->reaped || !session->launched || !outputs_done(session)) return 0;
  if (session->is_task) {
    if (sinks[0].length || sinks[1].length || sink_drain_ms(&sinks[0]) > 0 || sink_drain_ms(&sinks[1]) > 0) return 0;
    exit_known = 1;
    exit_code = session->code;
    exit_oom = session->code == 128 + SIGKILL && cgroup_oom_kills() > oom_kills_before;
  }
  if (!session->abandoned) send_exit(session->stream, session->code, session->is_task && exit_oom);
  return 1;
}

static void forget(int slot) {
  struct session *session = sessions[slot];
  sessions[slot] = NULL;
  close_streams(session);
  stream_close(&session->status_fd);
  if (session == task) {
    task = NULL;
    stream_close(&task_pidfd);
  }
  free(session->pending);
  free(session);
}

void session_turn(void) {
  for (int i = 0; i < MAX_SESSIONS; i++) {
    struct session *session = sessions[i];
    if (!session) continue;
    if (session->status_fd >= 0 && check_launch(session) < 0) {
      /* A task that could not begin may be tried again. */
      if (session->is_task) task_started = 0;
      forget(i);
      continue;
    }
    stream_feed(session);
    stream_drain(session, sinks);
    if (conclude(session)) forget(i);
  }
}

static void wait_for(struct pollfd *polls, size_t *count, int file, short events) {
  if (file >= 0) polls[(*count)++] = (struct pollfd){ file, events, 0 };
}

size_t session_polls(struct pollfd *polls, int *timeout_ms) {
  size_t count = 0;
  if (power_off_at_ms > 0) *timeout_ms = 1;
  for (int i = 0; i < MAX_SESSIONS; i++) {
    struct session *session = sessions[i];
    if (!session) continue;
    wait_for(polls, &count, session->status_fd, POLLIN);
    if (session->pending_length > 0) wait_for(polls, &count, session->input, POLLOUT);
    int *files[] = { &session->output, &session->errors };
    for (int which = 0; which < 2; which++) {
      int wanted = session->is_task ? sinks[which].length == 0
                                    : session->launched && session->credit[which] > 0 && control_has_room();
      if (wanted) wait_for(polls, &count, *files[which], POLLIN);
      if (session->is_task && sinks[which].length > 0) wait_for(polls, &count, sinks[which].port, POLLOUT);
    }
    if (session->reaped && *timeout_ms > 2) *timeout_ms = 2;
  }
  return count;
}
