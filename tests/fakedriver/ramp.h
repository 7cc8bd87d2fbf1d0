/*
 * Counters that advance with time, readable while another process changes their rate.
 *
 * A writer makes the sequence odd, writes, and makes it even again; a reader retries while it saw
 * an odd or changed sequence. The retries are bounded: a writer killed inside must not turn into a
 * hang of the driver, which tests inject on purpose and would be unable to tell apart.
 */
#ifndef FAKEDRIVER_RAMP_H
#define FAKEDRIVER_RAMP_H

#include <time.h>

#include "state.h"

#define RAMP_READ_RETRIES 10000
#define NS_PER_SECOND 1000000000ull
#define NS_PER_MS 1000000ull
#define NS_PER_US 1000ull

static inline uint64_t monotonicNs(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* The clock that counters follow; tests push it forward instead of waiting. */
static inline uint64_t driverNs(const struct fakeTray *tray)
{
    return monotonicNs() + __atomic_load_n(&tray->clock_offset_ns, __ATOMIC_ACQUIRE);
}

static inline struct fakeRamp rampSnapshot(const struct fakeRamp *ramp)
{
    struct fakeRamp copy = *ramp;

    for (int i = 0; i < RAMP_READ_RETRIES; i++) {
        uint32_t before = __atomic_load_n(&ramp->sequence, __ATOMIC_ACQUIRE);
        copy = *(const volatile struct fakeRamp *)ramp;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        uint32_t after = __atomic_load_n(&ramp->sequence, __ATOMIC_RELAXED);
        if (before == after && before % 2 == 0)
            break;
    }
    return copy;
}

/* Of a snapshot: what came on top of the base. */
static inline double rampGrowth(const struct fakeRamp *ramp, uint64_t now_ns)
{
    if (ramp->rate_per_second == 0.0 || now_ns <= ramp->since_ns)
        return 0.0;
    return ramp->rate_per_second * ((double)(now_ns - ramp->since_ns) / (double)NS_PER_SECOND);
}

/* Of a snapshot. */
static inline uint64_t rampCount(const struct fakeRamp *copy, uint64_t now_ns)
{
    return copy->base + (uint64_t)(int64_t)rampGrowth(copy, now_ns);
}

static inline uint64_t rampValue(const struct fakeRamp *ramp, uint64_t now_ns)
{
    struct fakeRamp copy = rampSnapshot(ramp);

    return rampCount(&copy, now_ns);
}

static inline void rampWrite(struct fakeRamp *ramp, uint32_t tag, uint64_t base, double rate,
                             uint64_t now_ns)
{
    uint32_t sequence = __atomic_load_n(&ramp->sequence, __ATOMIC_RELAXED) & ~1u;

    __atomic_store_n(&ramp->sequence, sequence + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    ramp->tag = tag;
    ramp->base = base;
    ramp->rate_per_second = rate;
    ramp->since_ns = now_ns;
    __atomic_store_n(&ramp->sequence, sequence + 2, __ATOMIC_RELEASE);
}

/* Keep what was counted so far and go on at another rate. */
static inline void rampSetRate(struct fakeRamp *ramp, double rate, uint64_t now_ns)
{
    rampWrite(ramp, ramp->tag, rampValue(ramp, now_ns), rate, now_ns);
}

#endif
