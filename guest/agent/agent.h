/* What the agent does with a request, and what it says of itself. */
#ifndef AGENT_H
#define AGENT_H
#include "frame.h"
#include "message.h"

#define AGENT_VERSION "1"

void agent_request(const struct frame *frame);
/* The rest of a hello: version, kernel, whether a task was started, credit of its input. */
void agent_describe(struct writer *out);
/* A new engine has come: streams of the old one's execs lead nowhere. */
void agent_forget_engine(void);
/* An exit that no engine has acknowledged is said again. */
void agent_repeat_exit(void);

#endif
