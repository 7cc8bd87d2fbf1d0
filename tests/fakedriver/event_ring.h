/*
 * The history of events in the shared state: one writer side (control.c), many readers.
 *
 * A reader keeps its own position, so each event set of each process sees every event once and in
 * order. Readers sleep on a futex in the state file, which wakes them across processes.
 */
#ifndef FAKEDRIVER_EVENT_RING_H
#define FAKEDRIVER_EVENT_RING_H

#include <stdbool.h>

#include "state.h"

uint64_t ringHead(const struct fakeTray *tray);
void ringPush(struct fakeTray *tray, const struct fakeEvent *event);

/* Copy the event at `*position` and step over it; false when there is none yet. */
bool ringNext(const struct fakeTray *tray, uint64_t *position, struct fakeEvent *event);

/* Wake every waiter, to look at the state again. */
void ringWake(struct fakeTray *tray);

/* Sleep until a wake after `seen` or the timeout; false when a signal arrived. */
uint32_t ringWakeCount(const struct fakeTray *tray);
bool ringSleep(struct fakeTray *tray, uint32_t seen, uint64_t timeout_ns);

#endif
