/* The task and its execs: their streams, their ends. */
#ifndef SESSION_H
#define SESSION_H
#include "failure.h"
#include "request.h"
#include <poll.h>
#include <stddef.h>
#include <sys/types.h>

#define MAX_SESSIONS 256
/* Bytes a stream may be ahead of its reader. */
#define WINDOW_BYTES (256 * 1024)
/* Descriptors one session may wait for. */
#define SESSION_POLLS 6

/* Ports of the task's outputs, -1 where the host has none. */
void session_ports(int stdout_port, int stderr_port);
/* Answers the request by itself once the program runs or has failed to; -1 when it could not even begin. */
int session_begin(uint32_t stream, int is_task, const struct process_request *process, struct failure *failure);
void session_input(uint32_t stream, const uint8_t *bytes, size_t length);
void session_input_end(uint32_t stream);
void session_resize(uint32_t stream, uint16_t columns, uint16_t rows);
void session_grant(uint32_t stream, uint8_t output, uint32_t bytes);
void session_hang_up(uint32_t stream);
int session_signal_task(int signal_number, struct failure *failure);
int session_task_started(void);
uint32_t session_task_credit(void);
void session_forget_engine(void);
void session_repeat_exit(void);
void session_power_off(void);

/* A child has ended. */
void session_reaped(pid_t pid, int status);
/* Fills in what to wait for; returns the number of entries and lowers *timeout_ms where time alone matters. */
size_t session_polls(struct pollfd *polls, int *timeout_ms);
/* Moves every byte that can be moved. */
void session_turn(void);
/* True once the host has acknowledged the end and the answer has had its time to leave. */
int session_may_power_off(void);

#endif
