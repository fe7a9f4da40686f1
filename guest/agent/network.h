/* The machine's one network interface and its loopback. */
#ifndef NETWORK_H
#define NETWORK_H
#include "failure.h"
#include "request.h"

int network_configure(const struct machine_request *machine, struct failure *failure);

#endif
