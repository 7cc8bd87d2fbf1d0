#include "event_ring.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ramp.h"

uint64_t ringHead(const struct fakeTray *tray)
{
    return __atomic_load_n(&tray->events_head, __ATOMIC_ACQUIRE);
}

void ringPush(struct fakeTray *tray, const struct fakeEvent *event)
{
    uint64_t position = __atomic_fetch_add(&tray->events_head, 1, __ATOMIC_ACQ_REL);
    struct fakeEvent *entry = &tray->events[position % FAKE_EVENTS];

    __atomic_store_n(&entry->published, 0, __ATOMIC_RELEASE);
    entry->gpu = event->gpu;
    entry->is_system = event->is_system;
    entry->type = event->type;
    entry->data = event->data;
    __atomic_store_n(&entry->published, position + 1, __ATOMIC_RELEASE);
    ringWake(tray);
}

bool ringNext(const struct fakeTray *tray, uint64_t *position, struct fakeEvent *event)
{
    uint64_t head = ringHead(tray);

    if (*position + FAKE_EVENTS < head) /* too slow: the oldest were overwritten */
        *position = head - FAKE_EVENTS;
    if (*position >= head)
        return false;
    const struct fakeEvent *entry = &tray->events[*position % FAKE_EVENTS];
    if (__atomic_load_n(&entry->published, __ATOMIC_ACQUIRE) != *position + 1)
        return false; /* reserved, still being written; its wake is yet to come */
    *event = *entry;
    ++*position;
    return true;
}

void ringWake(struct fakeTray *tray)
{
    __atomic_add_fetch(&tray->events_wake, 1, __ATOMIC_ACQ_REL);
    syscall(SYS_futex, &tray->events_wake, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

uint32_t ringWakeCount(const struct fakeTray *tray)
{
    return __atomic_load_n(&tray->events_wake, __ATOMIC_ACQUIRE);
}

bool ringSleep(struct fakeTray *tray, uint32_t seen, uint64_t timeout_ns)
{
    struct timespec timeout = {(time_t)(timeout_ns / NS_PER_SECOND),
                               (long)(timeout_ns % NS_PER_SECOND)};

    return syscall(SYS_futex, &tray->events_wake, FUTEX_WAIT, seen, &timeout, NULL, 0) == 0 ||
           errno != EINTR;
}
