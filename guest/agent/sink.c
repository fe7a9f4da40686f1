/*
 * A port that carries one output of the task. The kernel's driver does not tell when the host has taken a buffer, it
 * only refuses one when 128 are outstanding; a machine that is switched off too early would lose these. So the agent
 * counts what it has written against a rate that any host keeps up with, and waits that long before it reports an end.
 */
#define _GNU_SOURCE
#include "sink.h"
#include <errno.h>
#include <time.h>
#include <unistd.h>

/* Slower than a log writer that escapes every line on a busy host. */
#define DRAIN_BYTES_PER_MS 20000.0
/* The host's pipe holds this much without anybody reading it. */
#define FREE_BYTES 49152.0

double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static void age(struct sink *sink) {
  double now = now_ms();
  sink->debt -= (now - sink->debt_at_ms) * DRAIN_BYTES_PER_MS;
  if (sink->debt < 0) sink->debt = 0;
  sink->debt_at_ms = now;
}

long sink_fill(struct sink *sink, int from) {
  if (sink->length > 0) {
    errno = EAGAIN;
    return -1;
  }
  ssize_t count = read(from, sink->bytes, sizeof sink->bytes);
  sink->start = 0;
  sink->length = count > 0 ? (size_t)count : 0;
  return count;
}

void sink_write(struct sink *sink) {
  if (sink->port < 0) sink->length = 0;
  while (sink->length > 0) {
    ssize_t count = write(sink->port, sink->bytes + sink->start, sink->length);
    if (count <= 0) return;
    age(sink);
    sink->debt += (double)count;
    sink->start += (size_t)count;
    sink->length -= (size_t)count;
  }
}

double sink_drain_ms(struct sink *sink) {
  age(sink);
  return sink->debt <= FREE_BYTES ? 0 : (sink->debt - FREE_BYTES) / DRAIN_BYTES_PER_MS;
}
