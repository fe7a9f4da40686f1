/* Turns the calling process into what the request describes. */
#ifndef BECOME_H
#define BECOME_H
#include "failure.h"
#include "request.h"

/* Inside the root already; `program` is an open executable, or -1 to look the first argument up. Returns only on failure. */
void become(const struct process_request *process, int program, struct failure *failure);

#endif
