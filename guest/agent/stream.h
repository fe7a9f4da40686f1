/* One process of the task with its streams. */
#ifndef STREAM_H
#define STREAM_H
#include "failure.h"
#include "sink.h"
#include <stdint.h>
#include <sys/types.h>

struct session {
  /* Of its request; the task's streams are number 0 all the same. */
  uint32_t stream, request;
  pid_t pid;
  int is_task, tty, abandoned;
  /* -1 once the program runs. */
  int status_fd;
  int launched, reaped, code;
  double reaped_at_ms;
  int input, output, errors;
  uint8_t *pending;
  size_t pending_start, pending_length;
  int input_ends;
  uint32_t owed;
  /* Bytes the engine still takes, of output and errors. */
  uint64_t credit[2];
};

void stream_close(int *file);
/* Input from the engine, as far as the process takes it. */
void stream_feed(struct session *session);
void stream_accept(struct session *session, const uint8_t *bytes, size_t length);
/* Output to the engine (exec) or to the ports (task); closes what has ended. */
void stream_drain(struct session *session, struct sink *sinks);

#endif
