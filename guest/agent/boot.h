/* The first steps of PID 1: the kernel's own file systems, the modules, the ports. */
#ifndef BOOT_H
#define BOOT_H

void boot_file_systems(void);
void boot_modules(void);
/* The virtio-serial port of this name, opened without blocking; -1 when there is none. */
int boot_port(const char *name);
/* Waits until the port is there, `timeout_ms` at most. */
int boot_wait_port(const char *name, int timeout_ms);

#endif
