/* One process of the task with its streams: bytes move as far as both ends let them, and no further. */
#define _GNU_SOURCE
#include "stream.h"
#include "control.h"
#include "frame.h"
#include "message.h"
#include "session.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Credit goes back in pieces of this size, or when nothing waits. */
#define REPAY_BYTES (WINDOW_BYTES / 4)
#define OUTPUT_BYTES 32768

void stream_close(int *file) {
  if (*file >= 0) close(*file);
  *file = -1;
}

static void repay(struct session *session) {
  uint8_t bytes[4];
  struct writer out = { bytes, 0, sizeof bytes };
  if (session->owed == 0 || (session->owed < REPAY_BYTES && session->pending_length > 0)) return;
  write_u32(&out, session->owed);
  control_send(HOST_WINDOW, session->stream, bytes, out.length);
  session->owed = 0;
}

static void drop_input(struct session *session) {
  session->owed += (uint32_t)session->pending_length;
  session->pending_length = 0;
  /* A terminal's input and output are one: its hang-up is noticed on the output. */
  stream_close(&session->input);
}

void stream_accept(struct session *session, const uint8_t *bytes, size_t length) {
  if (session->input < 0 || session->input_ends) {
    session->owed += (uint32_t)length;
    repay(session);
    return;
  }
  if (!session->pending) session->pending = malloc(WINDOW_BYTES);
  if (!session->pending || length > WINDOW_BYTES - session->pending_length) return;
  if (session->pending_start + session->pending_length + length > WINDOW_BYTES) {
    memmove(session->pending, session->pending + session->pending_start, session->pending_length);
    session->pending_start = 0;
  }
  memcpy(session->pending + session->pending_start + session->pending_length, bytes, length);
  session->pending_length += length;
  stream_feed(session);
}

void stream_feed(struct session *session) {
  while (session->input >= 0 && session->pending_length > 0) {
    ssize_t count = write(session->input, session->pending + session->pending_start, session->pending_length);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (count <= 0) {
      drop_input(session);
      break;
    }
    session->pending_start += (size_t)count;
    session->pending_length -= (size_t)count;
    session->owed += (uint32_t)count;
  }
  if (session->pending_length == 0) {
    session->pending_start = 0;
    if (session->input_ends && !session->tty) stream_close(&session->input);
  }
  repay(session);
}

static void drain_to_engine(struct session *session, int *file, int which) {
  uint8_t bytes[OUTPUT_BYTES];
  while (*file >= 0 && session->launched && session->credit[which] > 0 && control_has_room()) {
    size_t wanted = session->credit[which] < sizeof bytes ? (size_t)session->credit[which] : sizeof bytes;
    ssize_t count = read(*file, bytes, wanted);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
      stream_close(file);
      return;
    }
    session->credit[which] -= (uint64_t)count;
    control_send(which == 0 ? HOST_STDOUT : HOST_STDERR, session->stream, bytes, (size_t)count);
  }
}

static void drain_to_port(int *file, struct sink *sink) {
  /* Bounded, so that a task that never stops writing does not keep the agent from all else. */
  for (int turn = 0; turn < 64; turn++) {
    sink_write(sink);
    if (sink->length > 0 || *file < 0) return;
    long count = sink_fill(sink, *file);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) stream_close(file);
  }
}

void stream_drain(struct session *session, struct sink *sinks) {
  if (session->is_task) {
    drain_to_port(&session->output, &sinks[0]);
    drain_to_port(&session->errors, &sinks[1]);
    return;
  }
  drain_to_engine(session, &session->output, 0);
  drain_to_engine(session, &session->errors, 1);
}
