/* What the agent does with a request. */
#define _GNU_SOURCE
#include "agent.h"
#include "cgroup.h"
#include "control.h"
#include "machine.h"
#include "network.h"
#include "request.h"
#include "root.h"
#include "session.h"
#include <signal.h>
#include <string.h>
#include <sys/utsname.h>

static int configured;

static void configure(const struct frame *frame) {
  struct machine_request machine;
  struct failure failure;
  int done = read_machine(frame->body, frame->length, &machine);
  if (done < 0) fail(&failure, FAIL_INVALID_REQUEST, "the description of the machine is malformed");
  else if (configured) done = fail(&failure, FAIL_WRONG_STATE, "the machine is configured already");
  if (done == 0) done = machine_configure(&machine, &failure);
  if (done == 0) done = network_configure(&machine, &failure);
  if (done == 0) done = root_assemble(&machine, &failure);
  free_machine(&machine);
  if (done < 0) {
    control_error(frame->stream, &failure);
    return;
  }
  configured = 1;
  control_ok(frame->stream, NULL, 0);
}

static void begin_process(const struct frame *frame) {
  struct process_request process;
  struct failure failure;
  int done = read_process(frame->body, frame->length, &process);
  if (done < 0) fail(&failure, FAIL_INVALID_REQUEST, "the description of the process is malformed");
  else if (!configured) done = fail(&failure, FAIL_WRONG_STATE, "the machine is not configured yet");
  if (done == 0) done = session_begin(frame->stream, frame->type == GUEST_START, &process, &failure);
  free_process(&process);
  if (done < 0) control_error(frame->stream, &failure);
}

static void answer_stats(uint32_t stream) {
  uint8_t bytes[32];
  struct writer out = { bytes, 0, sizeof bytes };
  struct usage usage;
  cgroup_usage(&usage);
  write_u64(&out, usage.cpu_ns);
  write_u64(&out, usage.memory_bytes);
  write_u32(&out, usage.pids);
  control_ok(stream, bytes, out.length);
}

void agent_request(const struct frame *frame) {
  struct reader in = { frame->body, frame->length, 0 };
  struct failure failure;
  switch (frame->type) {
  case GUEST_CONFIGURE:
    configure(frame);
    return;
  case GUEST_START:
  case GUEST_EXEC:
    begin_process(frame);
    return;
  case GUEST_STDIN:
    session_input(frame->stream, frame->body, frame->length);
    return;
  case GUEST_STDIN_END:
    session_input_end(frame->stream);
    return;
  case GUEST_RESIZE: {
    uint16_t columns = read_u16(&in);
    session_resize(frame->stream, columns, read_u16(&in));
    return;
  }
  case GUEST_WINDOW: {
    uint8_t output = read_u8(&in);
    session_grant(frame->stream, output, read_u32(&in));
    return;
  }
  case GUEST_HANG_UP:
    session_hang_up(frame->stream);
    return;
  case GUEST_SIGNAL:
    if (session_signal_task((int)read_u32(&in), &failure) < 0) control_error(frame->stream, &failure);
    else control_ok(frame->stream, NULL, 0);
    return;
  case GUEST_STATS:
    answer_stats(frame->stream);
    return;
  case GUEST_CLOCK: {
    uint64_t unix_time_ms = read_u64(&in);
    if (!in.bad) machine_set_clock(unix_time_ms);
    control_ok(frame->stream, NULL, 0);
    return;
  }
  case GUEST_POWER_OFF:
    control_ok(frame->stream, NULL, 0);
    session_power_off();
    return;
  }
}

void agent_describe(struct writer *out) {
  struct utsname names;
  uname(&names);
  write_text(out, AGENT_VERSION);
  write_text(out, names.release);
  write_u8(out, (uint8_t)session_task_started());
  write_u32(out, session_task_credit());
}

void agent_forget_engine(void) { session_forget_engine(); }

void agent_repeat_exit(void) { session_repeat_exit(); }
