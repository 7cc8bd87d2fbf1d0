/* What the files of the control library share. */
#ifndef FAKEDRIVER_CONTROL_H
#define FAKEDRIVER_CONTROL_H

#include "state.h"

#define EXPORT __attribute__((visibility("default")))

/* Null for a GPU that does not exist. */
struct fakeGpu *controlGpu(struct fakeTray *tray, int gpu);

#endif
