/* Words of the agent itself, on the kernel's log (and so on the serial console, where there is one). */
#ifndef LOG_H
#define LOG_H
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
#endif
