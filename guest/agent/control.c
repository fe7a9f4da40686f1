/* The control channel: a queue towards the engine, a parser and the assembly of long requests from it. */
#define _GNU_SOURCE
#include "control.h"
#include "agent.h"
#include "frame.h"
#include "log.h"
#include "message.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOMY_BYTES (256 * 1024)
#define MAX_QUEUE_BYTES (4 * 1024 * 1024)
#define MAX_REQUEST_BYTES (4 * 1024 * 1024 + FRAME_MAX_BODY)
#define READS_PER_TURN 64

static int port = -1, connected = 1;
static struct frame_parser parser;
static uint8_t *queue;
static size_t queue_start, queue_end, queue_capacity;
static uint8_t *assembly;
static size_t assembly_length, assembly_capacity;
static uint32_t assembly_stream;
static uint8_t last_nonce[NONCE_BYTES];

void control_begin(int agent_port) { port = agent_port; }

short control_events(void) {
  if (!connected) return 0;
  return (short)(POLLIN | (queue_end > queue_start ? POLLOUT : 0));
}

void control_look_again(void) { connected = 1; }

int control_has_room(void) { return queue_end - queue_start < ROOMY_BYTES; }

static int make_room(size_t length) {
  if (queue_start > 0) {
    memmove(queue, queue + queue_start, queue_end - queue_start);
    queue_end -= queue_start;
    queue_start = 0;
  }
  if (queue_capacity - queue_end >= length) return 1;
  size_t capacity = queue_end + length + 65536;
  uint8_t *larger = capacity > MAX_QUEUE_BYTES ? NULL : realloc(queue, capacity);
  if (!larger) return 0;
  queue = larger;
  queue_capacity = capacity;
  return 1;
}

void control_send(uint8_t type, uint32_t stream, const void *body, size_t length) {
  size_t bytes = FRAME_HEADER_BYTES + length + 1;
  if (queue_capacity - queue_end < bytes && !make_room(bytes)) {
    say("the engine does not read its answers; one is dropped");
    return;
  }
  frame_header(queue + queue_end, type, stream, length);
  if (length) memcpy(queue + queue_end + FRAME_HEADER_BYTES, body, length);
  queue[queue_end + bytes - 1] = FRAME_END_MARK;
  queue_end += bytes;
}

void control_ok(uint32_t stream, const void *body, size_t length) { control_send(HOST_OK, stream, body, length); }

void control_error(uint32_t stream, const struct failure *failure) {
  uint8_t bytes[sizeof failure->text + 16];
  struct writer out = { bytes, 0, sizeof bytes };
  write_u16(&out, failure->code);
  write_text(&out, failure->text);
  control_send(HOST_ERROR, stream, bytes, out.length);
}

/* A new engine forgets what the old one left half said. */
static void greet(const struct frame *frame) {
  if (frame->length != NONCE_BYTES) return;
  int again = memcmp(last_nonce, frame->body, NONCE_BYTES) == 0;
  if (!again) {
    memcpy(last_nonce, frame->body, NONCE_BYTES);
    queue_start = queue_end = 0;
    assembly_length = 0;
    agent_forget_engine();
  }
  uint8_t bytes[512];
  struct writer out = { bytes, 0, sizeof bytes };
  write_bytes(&out, frame->body, NONCE_BYTES);
  agent_describe(&out);
  control_send(HOST_HELLO, 0, bytes, out.length);
  if (!again) agent_repeat_exit();
}

static int assemble(const struct frame *frame) {
  if (assembly_length > 0 && assembly_stream != frame->stream) assembly_length = 0;
  if (assembly_length + frame->length > MAX_REQUEST_BYTES) return -1;
  if (assembly_length + frame->length > assembly_capacity) {
    size_t capacity = assembly_length + frame->length + FRAME_MAX_PAYLOAD;
    uint8_t *larger = realloc(assembly, capacity);
    if (!larger) return -1;
    assembly = larger;
    assembly_capacity = capacity;
  }
  if (frame->length) memcpy(assembly + assembly_length, frame->body, frame->length);
  assembly_length += frame->length;
  assembly_stream = frame->stream;
  return 0;
}

static void take(struct frame *frame) {
  switch (frame->type) {
  case GUEST_HELLO:
    greet(frame);
    return;
  case GUEST_PART:
    if (assemble(frame) < 0) say("a request is too long");
    return;
  case GUEST_CONFIGURE:
  case GUEST_START:
  case GUEST_EXEC:
    if (assembly_length > 0 && assembly_stream == frame->stream && assemble(frame) == 0) {
      struct frame whole = { frame->type, frame->stream, assembly, assembly_length };
      agent_request(&whole);
      free(assembly);
      assembly = NULL;
      assembly_capacity = 0;
    } else
      agent_request(frame);
    assembly_length = 0;
    return;
  default:
    agent_request(frame);
  }
}

static void receive(void) {
  uint8_t bytes[32768];
  for (int turn = 0; turn < READS_PER_TURN; turn++) {
    ssize_t count = read(port, bytes, sizeof bytes);
    if (count <= 0) {
      if (count == 0 || (errno != EAGAIN && errno != EINTR)) connected = 0;
      return;
    }
    const uint8_t *at = bytes;
    size_t left = (size_t)count;
    struct frame frame;
    while (frame_parse(&parser, &at, &left, &frame)) take(&frame);
  }
}

void control_ready(short events) {
  if (events & POLLIN) receive();
  else if (events & (POLLHUP | POLLERR)) connected = 0;
  while (connected && queue_end > queue_start) {
    ssize_t count = write(port, queue + queue_start, queue_end - queue_start);
    if (count <= 0) return;
    queue_start += (size_t)count;
  }
}
