/* The control channel: frames in, frames out, and what an engine's death means for it. */
#ifndef CONTROL_H
#define CONTROL_H
#include "failure.h"
#include <stddef.h>
#include <stdint.h>

/* Opens nothing: `port` is the agent's port, not blocking. */
void control_begin(int port);
/* poll(2) events wanted now; 0 while no engine is there. */
short control_events(void);
void control_ready(short events);
/* An engine may have come or gone. */
void control_look_again(void);

/* True while there is room for output; answers always have room. */
int control_has_room(void);
void control_send(uint8_t type, uint32_t stream, const void *body, size_t length);
void control_ok(uint32_t stream, const void *body, size_t length);
void control_error(uint32_t stream, const struct failure *failure);

#endif
