/* What belongs to the whole machine: clock, randomness, names, kernel settings, power. */
#ifndef MACHINE_H
#define MACHINE_H
#include "failure.h"
#include "request.h"

void machine_set_clock(uint64_t unix_time_ms);
/* Randomness, clock, names and settings, in this order: a clone must differ from its template before anything else. */
int machine_configure(const struct machine_request *machine, struct failure *failure);
/* Ends every other process, unmounts and switches off; does not return. */
void machine_power_off(void) __attribute__((noreturn));

#endif
