/* Block devices of the machine, by name, serial or index in disk order. */
#ifndef DEVICE_H
#define DEVICE_H
#include "failure.h"

/* Waits a short time for the device, then mounts it. */
int device_mount(const char *device, const char *target, const char *type, unsigned long flags,
                 struct failure *failure);

#endif
