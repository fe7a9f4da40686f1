/* A port that carries one output of the task to the host's log, byte for byte. */
#ifndef SINK_H
#define SINK_H
#include <stddef.h>
#include <stdint.h>

#define SINK_BYTES 16384

struct sink {
  /* -1: this host wants no such output. */
  int port;
  uint8_t bytes[SINK_BYTES];
  size_t start, length;
  /* Bytes that the host may not have taken off the port yet, an estimate; see sink.c. */
  double debt;
  double debt_at_ms;
};

double now_ms(void);
/* Takes what `from` has, if nothing is left from before. As read(2). */
long sink_fill(struct sink *sink, int from);
void sink_write(struct sink *sink);
/* Milliseconds until the host has surely everything. */
double sink_drain_ms(struct sink *sink);

#endif
