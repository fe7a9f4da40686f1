/* Why a request could not be done. */
#include "failure.h"
#include <stdarg.h>
#include <stdio.h>

int fail(struct failure *failure, enum failure_code code, const char *format, ...) {
  va_list values;
  failure->code = (uint16_t)code;
  va_start(values, format);
  vsnprintf(failure->text, sizeof failure->text, format, values);
  va_end(values);
  return -1;
}
