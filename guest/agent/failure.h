/* Why a request could not be done: a code that the host maps to its own registry, and words for the user. */
#ifndef FAILURE_H
#define FAILURE_H
#include <stdint.h>

/* The order is part of the protocol. */
enum failure_code {
  FAIL_START, FAIL_COMMAND_NOT_FOUND, FAIL_COMMAND_NOT_EXECUTABLE, FAIL_INVALID_USER, FAIL_WRONG_STATE,
  FAIL_INVALID_REQUEST, FAIL_INVALID_MOUNT, FAIL_NOT_SUPPORTED
};

struct failure {
  uint16_t code;
  char text[512];
};

/* Fills in `failure` and returns -1, so that callers can `return fail(...)`. */
int fail(struct failure *failure, enum failure_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
