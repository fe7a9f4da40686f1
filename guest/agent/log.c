/* Words of the agent itself. */
#include "log.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void say(const char *format, ...) {
  char line[600];
  va_list values;
  int length = snprintf(line, sizeof line, "<5>bulkhead: ");
  va_start(values, format);
  length += vsnprintf(line + length, sizeof line - (size_t)length - 1, format, values);
  va_end(values);
  if (length > (int)sizeof line - 2) length = sizeof line - 2;
  line[length++] = '\n';
  int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
  if (log < 0) return;
  if (write(log, line, (size_t)length) < 0) { /* Nobody is left to tell. */ }
  close(log);
}
