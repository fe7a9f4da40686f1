/* PID 1 of a microVM: one event loop between the host's control channel and the processes of the task. */
#define _GNU_SOURCE
#include "guest.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SESSIONS = 64, WINDOW = 256 << 10, CHUNK = 16 << 10 };

struct session {
  int used, tty, exited, code;
  uint32_t stream;
  pid_t pid;
  int in, out, err;          /* our ends; -1 when closed; with a tty `in` and `out` are the master */
  uint32_t unacknowledged;   /* output sent and not yet taken by the host's reader */
  uint8_t *input;            /* not yet taken by the process */
  size_t input_length;
  int input_ends;
};

static int port = -1;
static struct parser parser;
static struct session sessions[MAX_SESSIONS]; /* [0] is the task */
static uint8_t *queue;                        /* frames waiting for the port */
static size_t queued, queue_size;
static uint8_t *message;                      /* T_CONTINUE payloads */
static size_t message_length;
static pid_t pumps[2];
static int task_state;                        /* 0 none, 1 running, 2 ended */
static int task_code, task_oom;
static uint64_t oom_before;
static char kernel[80];

static void send_frame(uint8_t type, uint32_t stream, const void *payload, size_t length) {
  size_t need = queued + FRAME_HEADER + length;
  if (need > queue_size) {
    queue_size = need * 2;
    queue = realloc(queue, queue_size);
    if (!queue) abort();
  }
  frame_header(queue + queued, type, stream, (uint32_t)length);
  if (length) memcpy(queue + queued + FRAME_HEADER, payload, length);
  queued = need;
}

static size_t put_string(uint8_t *at, const char *text) {
  size_t n = strlen(text);
  put32(at, (uint32_t)n);
  memcpy(at + 4, text, n);
  return n + 4;
}

static void send_failure(uint32_t stream, const struct failure *why) {
  uint8_t payload[sizeof *why + 8];
  size_t n = put_string(payload, why->code);
  n += put_string(payload + n, why->message);
  send_frame(T_ERROR, stream, payload, n);
}

static uint64_t oom_kills(void) {
  FILE *f = fopen("/proc/vmstat", "re");
  char line[128];
  unsigned long long value = 0;
  while (f && fgets(line, sizeof line, f)) if (sscanf(line, "oom_kill %llu", &value) == 1) break;
  if (f) fclose(f);
  return value;
}

static uint64_t number_in(const char *path, const char *key) {
  FILE *f = fopen(path, "re");
  char name[64];
  unsigned long long value = 0, result = 0;
  if (f && !key && fscanf(f, "%llu", &value) == 1) result = value;
  while (f && key && fscanf(f, "%63s %llu", name, &value) == 2) if (!strcmp(name, key)) { result = value; break; }
  if (f) fclose(f);
  return result;
}

static void send_exit(uint32_t stream, int code, int oom) {
  uint8_t payload[5];
  put32(payload, (uint32_t)code);
  payload[4] = (uint8_t)oom;
  send_frame(T_EXIT, stream, payload, sizeof payload);
}

static void drop(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void forget(struct session *s) {
  if (s->out == s->in) s->out = -1;
  drop(&s->in); drop(&s->out); drop(&s->err);
  free(s->input);
  memset(s, 0, sizeof *s);
  s->in = s->out = s->err = -1;
}

static struct session *find(uint32_t stream) {
  for (int i = 0; i < MAX_SESSIONS; i++) if (sessions[i].used && sessions[i].stream == stream) return &sessions[i];
  return NULL;
}

/* Copies one stream of the task to its port; a process of its own, so that a slow host stalls nothing else. */
static pid_t pump(int from, const char *port_path) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  int to = *port_path ? open(port_path, O_WRONLY | O_CLOEXEC) : -1;
  static char buffer[32768];
  for (int fd = 3; fd < 256; fd++) if (fd != from && fd != to) close(fd);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  for (;;) {
    ssize_t n = read(from, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) _exit(0);
    for (ssize_t at = 0; to >= 0 && at < n;) {
      ssize_t w = write(to, buffer + at, (size_t)(n - at));
      if (w > 0) at += w;
      else if (w < 0 && errno != EINTR && errno != EAGAIN) _exit(1);
    }
  }
}

static void find_port(const char *name, char *path, size_t size) {
  *path = 0;
  DIR *dir = opendir("/sys/class/virtio-ports");
  struct dirent *entry;
  while (dir && (entry = readdir(dir))) {
    char file[320], text[128] = "";
    snprintf(file, sizeof file, "/sys/class/virtio-ports/%s/name", entry->d_name);
    FILE *f = fopen(file, "re");
    if (!f) continue;
    if (fgets(text, sizeof text, f)) text[strcspn(text, "\n")] = 0;
    fclose(f);
    if (!strcmp(text, name)) snprintf(path, size, "/dev/%.200s", entry->d_name);
  }
  if (dir) closedir(dir);
}

static void nonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

/* Wires and starts; the task's output goes to the ports, a session's to the channel. */
static void start(uint32_t stream, struct reader *r, int is_task) {
  struct failure why = {"internal", "the start message is malformed"};
  struct process *p = read_process(r);
  struct session *s = NULL;
  for (int i = is_task ? 0 : 1; i < (is_task ? 1 : MAX_SESSIONS) && !s; i++) if (!sessions[i].used) s = &sessions[i];
  if (r->bad || !s || (is_task && task_state)) {
    if (!r->bad) fail(&why, "wrong_state", is_task ? "a task was started already" : "too many processes at once");
    send_failure(stream, &why);
    free_process(p);
    return;
  }
  int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1}, bad = 0;
  if (p->tty) {
    bad = open_terminal(&out[0], &out[1]);
    in[0] = err[1] = out[1];
    in[1] = out[0];
  } else {
    bad = pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC);
    if (p->wants_stdin) bad |= pipe2(in, O_CLOEXEC);
    else in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
  }
  pid_t pid = bad ? fail(&why, "start_failed", "pipes: %s", strerror(errno)) : start_process(p, is_task ? 0 : task_state == 1 ? sessions[0].pid : -1, in[0], out[1], err[1], &why);
  if (pid < 0) {
    int all[] = {in[0], in[1], out[0], out[1], err[0], err[1]};
    for (int i = 0; i < 6; i++) {
      for (int j = 0; j < i; j++) if (all[j] == all[i]) all[i] = -1;
      if (all[i] >= 0) close(all[i]);
    }
    send_failure(stream, &why);
    free_process(p);
    return;
  }
  if (p->tty) close(out[1]);
  else { close(in[0]); close(out[1]); close(err[1]); }
  *s = (struct session){.used = 1, .tty = p->tty, .stream = stream, .pid = pid, .in = in[1], .out = out[0], .err = p->tty ? -1 : err[0]};
  if (is_task) {
    char path[256];
    oom_before = oom_kills();
    task_state = 1;
    find_port("org.bulkhead.stdout", path, sizeof path);
    pumps[0] = pump(s->out, path);
    pumps[1] = 0;
    if (!p->tty) {
      find_port("org.bulkhead.stderr", path, sizeof path);
      pumps[1] = pump(s->err, path);
      drop(&s->out);
      drop(&s->err);
    } else {
      s->out = -1; /* the pump reads the master, input writes to it */
    }
  } else {
    nonblocking(s->out);
    if (s->err >= 0) nonblocking(s->err);
  }
  if (s->in >= 0 && !(is_task && p->tty)) nonblocking(s->in);
  uint8_t payload[4];
  put32(payload, (uint32_t)pid);
  send_frame(T_STARTED, stream, payload, 4);
  free_process(p);
}

static void feed_input(struct session *s) {
  while (s->in >= 0 && s->input_length) {
    ssize_t n = write(s->in, s->input, s->input_length);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0 && errno == EINTR) continue;
    size_t gone = n > 0 ? (size_t)n : s->input_length;
    uint8_t payload[4];
    put32(payload, (uint32_t)gone);
    send_frame(T_STDIN_ACK, s->stream, payload, 4);
    memmove(s->input, s->input + gone, s->input_length - gone);
    s->input_length -= gone;
    if (n <= 0) { if (s->in == s->out) s->out = -1; drop(&s->in); }
  }
  if (s->input_ends && !s->input_length && s->in >= 0) {
    if (s->tty) { char end = 4; if (write(s->in, &end, 1) < 0) errno = 0; s->input_ends = 0; }
    else drop(&s->in);
  }
}

static void hello(const struct frame *f) {
  uint8_t payload[256];
  if (f->length != 16) return;
  memcpy(payload, f->payload, 16);
  payload[16] = (uint8_t)task_state;
  size_t n = 17 + put_string(payload + 17, AGENT_VERSION);
  n += put_string(payload + n, kernel);
  send_frame(T_HELLO_ACK, f->stream, payload, n);
  if (task_state == 2) send_exit(sessions[0].stream, task_code, task_oom);
}

static void stats(uint32_t stream) {
  uint8_t payload[20];
  put64(payload, number_in(TASK_CGROUP "/cpu.stat", "usage_usec") * 1000);
  put64(payload + 8, number_in(TASK_CGROUP "/memory.current", NULL));
  put32(payload + 16, (uint32_t)number_in(TASK_CGROUP "/pids.current", NULL));
  send_frame(T_STATS_REPLY, stream, payload, sizeof payload);
}

static void handle(const struct frame *f, const uint8_t *body, size_t length) {
  struct reader r = {body, body + length, 0};
  struct session *s = find(f->stream);
  struct failure why;
  switch (f->type) {
    case T_HELLO: hello(f); break;
    case T_CONFIGURE:
      if (configure(&r, &why)) send_failure(f->stream, &why);
      else send_frame(T_OK, f->stream, NULL, 0);
      break;
    case T_START: start(f->stream, &r, 1); break;
    case T_EXEC: start(f->stream, &r, 0); break;
    case T_STDIN:
      if (!s || s->in < 0) {
        /* Nobody reads any more: taken and thrown away, so that the sender is not stuck. */
        uint8_t gone[4];
        put32(gone, (uint32_t)length);
        send_frame(T_STDIN_ACK, f->stream, gone, 4);
        break;
      }
      if (s->input_length + length > 4 * WINDOW) break; /* beyond the window: a host that does not keep the protocol */
      s->input = realloc(s->input, s->input_length + length + 1);
      if (!s->input) abort();
      memcpy(s->input + s->input_length, body, length);
      s->input_length += length;
      feed_input(s);
      break;
    case T_STDIN_END: if (s) { s->input_ends = 1; feed_input(s); } break;
    case T_RESIZE:
      if (s && s->tty && length == 4) {
        struct winsize size = {.ws_col = get16(body), .ws_row = get16(body + 2)};
        ioctl(s->in >= 0 ? s->in : s->out, TIOCSWINSZ, &size);
      }
      break;
    case T_SIGNAL:
      if (s && !s->exited && length == 4) kill(s->pid, (int)get32(body));
      break;
    case T_CLOSE: if (s && s != &sessions[0]) { kill(s->pid, SIGKILL); } break;
    case T_ACK: if (s && length == 4) { uint32_t n = get32(body); s->unacknowledged -= n < s->unacknowledged ? n : s->unacknowledged; } break;
    case T_STATS: stats(f->stream); break;
    case T_CLOCK: if (length == 8) set_clock(get64(body)); send_frame(T_OK, f->stream, NULL, 0); break;
    case T_POWEROFF: power_off();
    default: break;
  }
}

static void receive(const struct frame *f) {
  if (f->type == T_CONTINUE) {
    if (message_length + f->length > MESSAGE_MAX) { message_length = 0; return; }
    message = realloc(message, message_length + f->length + 1);
    if (!message) abort();
    memcpy(message + message_length, f->payload, f->length);
    message_length += f->length;
    return;
  }
  if (!message_length) { handle(f, f->payload, f->length); return; }
  message = realloc(message, message_length + f->length + 1);
  if (!message) abort();
  memcpy(message + message_length, f->payload, f->length);
  size_t length = message_length + f->length;
  message_length = 0;
  handle(f, message, length);
}

static void disconnected(void) {
  parser_reset(&parser);
  message_length = 0;
  queued = 0;
  for (int i = 1; i < MAX_SESSIONS; i++) if (sessions[i].used) kill(sessions[i].pid, SIGKILL);
}

static void task_ended_if_drained(void) {
  struct session *task = &sessions[0];
  if (task_state != 1 || !task->exited || pumps[0] || pumps[1]) return;
  task_state = 2;
  task_code = task->code;
  task_oom = task->code != 0 && oom_kills() > oom_before;
  send_exit(task->stream, task_code, task_oom);
}

static void reap(void) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    for (int i = 0; i < 2; i++) if (pumps[i] == pid) pumps[i] = 0;
    for (int i = 0; i < MAX_SESSIONS; i++) {
      if (!sessions[i].used || sessions[i].pid != pid) continue;
      sessions[i].exited = 1;
      sessions[i].code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
  }
  task_ended_if_drained();
}

static int take_output(struct session *s, int *fd, uint8_t type) {
  uint8_t buffer[CHUNK];
  ssize_t n = read(*fd, buffer, sizeof buffer);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (n <= 0) {
    if (*fd == s->in) s->in = -1;
    drop(fd);
    return 0;
  }
  send_frame(type, s->stream, buffer, (size_t)n);
  s->unacknowledged += (uint32_t)n;
  return 1;
}

static void loop(int signals) {
  for (;;) {
    struct pollfd fds[2 + 3 * MAX_SESSIONS];
    struct session *owner[2 + 3 * MAX_SESSIONS];
    int what[2 + 3 * MAX_SESSIONS], n = 2, hung;
    struct pollfd test = {port, POLLIN | POLLOUT, 0};
    poll(&test, 1, 0);
    hung = (test.revents & POLLHUP) != 0;
    if (hung) disconnected();
    fds[0] = (struct pollfd){hung ? -1 : port, (short)(POLLIN | (queued ? POLLOUT : 0)), 0};
    fds[1] = (struct pollfd){signals, POLLIN, 0};
    for (int i = 0; i < MAX_SESSIONS; i++) {
      struct session *s = &sessions[i];
      if (!s->used) continue;
      if (i > 0 && s->exited && s->out < 0 && s->err < 0) {
        send_exit(s->stream, s->code, 0);
        forget(s);
        continue;
      }
      if (s->in >= 0 && s->input_length) { fds[n] = (struct pollfd){s->in, POLLOUT, 0}; owner[n] = s; what[n++] = 0; }
      if (i == 0 || s->unacknowledged > WINDOW || queued > 4 * WINDOW) continue;
      if (s->out >= 0) { fds[n] = (struct pollfd){s->out, POLLIN, 0}; owner[n] = s; what[n++] = 1; }
      if (s->err >= 0) { fds[n] = (struct pollfd){s->err, POLLIN, 0}; owner[n] = s; what[n++] = 2; }
    }
    if (poll(fds, (nfds_t)n, hung ? 20 : 1000) < 0 && errno != EINTR) continue;
    if (fds[1].revents) {
      struct signalfd_siginfo info;
      while (read(signals, &info, sizeof info) == sizeof info) {}
      reap();
    }
    for (int i = 2; i < n; i++) {
      if (!fds[i].revents) continue;
      struct session *s = owner[i];
      if (what[i] == 0) feed_input(s);
      /* What a background child keeps open after the process has ended is not waited for. */
      else if (what[i] == 1) { if (!take_output(s, &s->out, T_STDOUT) && s->exited) { if (s->out == s->in) s->in = -1; drop(&s->out); } }
      else if (!take_output(s, &s->err, T_STDERR) && s->exited) drop(&s->err);
    }
    for (int i = 1; i < MAX_SESSIONS; i++) {
      struct session *s = &sessions[i];
      if (!s->used || !s->exited || s->unacknowledged > WINDOW) continue;
      while (s->out >= 0 && s->unacknowledged <= WINDOW) if (!take_output(s, &s->out, T_STDOUT)) { if (s->out == s->in) s->in = -1; drop(&s->out); }
      while (s->err >= 0 && s->unacknowledged <= WINDOW) if (!take_output(s, &s->err, T_STDERR)) drop(&s->err);
    }
    if (!hung && queued) {
      ssize_t w = write(port, queue, queued < 32768 ? queued : 32768);
      if (w > 0) { memmove(queue, queue + w, queued - (size_t)w); queued -= (size_t)w; }
    }
    if (!hung && fds[0].revents & POLLIN) {
      static uint8_t buffer[65536];
      ssize_t got = read(port, buffer, sizeof buffer);
      for (ssize_t at = 0; at < got;) {
        struct frame f;
        int complete;
        at += (ssize_t)parser_feed(&parser, buffer + at, (size_t)(got - at), &f, &complete);
        if (complete) receive(&f);
      }
    }
  }
}

int main(void) {
  early_mounts();
  load_modules();
  struct utsname name;
  uname(&name);
  snprintf(kernel, sizeof kernel, "%.70s", name.release);
  for (int i = 0; i < MAX_SESSIONS; i++) sessions[i].in = sessions[i].out = sessions[i].err = -1;
  signal(SIGPIPE, SIG_IGN);
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGCHLD);
  sigprocmask(SIG_BLOCK, &watched, NULL);
  int signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  char path[256] = "";
  struct timespec pause = {0, 2 * 1000 * 1000};
  for (int i = 0; i < 5000 && port < 0; i++) {
    find_port("org.bulkhead.agent.0", path, sizeof path);
    if (*path) port = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (port < 0) nanosleep(&pause, NULL);
  }
  if (port < 0) power_off();
  loop(signals);
}
