/*
 * The gate of every call: counting, injected delays, hangs and errors.
 *
 * A hang models a GPU whose management calls block. With `hang_holds_lock` it also models the
 * lock that real drivers share between GPUs: the lock carries a deadline instead of an owner, so
 * a process killed inside a hanging call cannot leave it held.
 */
#include <errno.h>

#include "driver.h"

#define US_PER_SECOND 1000000ull
#define NAP_NS (2 * NS_PER_MS) /* how soon a released hang is noticed */
#define SPIN_BELOW_US 60u      /* below this a sleep would take longer than asked */

void fakeSleepNs(uint64_t ns)
{
    struct timespec rest = {(time_t)(ns / NS_PER_SECOND), (long)(ns % NS_PER_SECOND)};

    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        ;
}

void fakeDelayUs(uint64_t us)
{
    if (us == 0)
        return;
    if (us >= SPIN_BELOW_US) {
        fakeSleepNs(us * NS_PER_US);
        return;
    }
    for (uint64_t end = monotonicNs() + us * NS_PER_US; monotonicNs() < end;)
        ;
}

uint64_t fakeWallUs(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * US_PER_SECOND + (uint64_t)now.tv_nsec / NS_PER_US;
}

void fakeCount(enum fakeFunction function)
{
    __atomic_add_fetch(&fakeTray->calls[function], 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&fakeTray->calls_total, 1, __ATOMIC_RELAXED);
}

static void napUntil(uint64_t deadline_ns)
{
    uint64_t now = monotonicNs();

    if (now < deadline_ns)
        fakeSleepNs(deadline_ns - now < NAP_NS ? deadline_ns - now : NAP_NS);
}

static void holdLockUntil(uint64_t deadline_ns)
{
    uint64_t held = __atomic_load_n(&fakeTray->lock_until_ns, __ATOMIC_ACQUIRE);

    while (held < deadline_ns &&
           !__atomic_compare_exchange_n(&fakeTray->lock_until_ns, &held, deadline_ns, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
}

static void waitForLock(void)
{
    uint64_t until;

    while (__atomic_load_n(&fakeTray->hang_holds_lock, __ATOMIC_ACQUIRE) != 0 &&
           (until = __atomic_load_n(&fakeTray->lock_until_ns, __ATOMIC_ACQUIRE)) > monotonicNs())
        napUntil(until);
}

/* Block as long as the test asked for, or until it withdraws the hang. */
void fakeHang(const struct fakeGpu *gpu)
{
    uint64_t hang_ms = __atomic_load_n(&gpu->hang_ms, __ATOMIC_ACQUIRE);

    if (hang_ms == 0) {
        waitForLock();
        return;
    }
    uint64_t deadline = monotonicNs() + hang_ms * NS_PER_MS;
    if (fakeTray->hang_holds_lock)
        holdLockUntil(deadline);
    while (__atomic_load_n(&gpu->hang_ms, __ATOMIC_ACQUIRE) != 0 && monotonicNs() < deadline)
        napUntil(deadline);
}

nvmlReturn_t fakeCallError(enum fakeFunction function, const struct fakeGpu *gpu)
{
    if (fakeTray->call_error[function] != 0)
        return (nvmlReturn_t)fakeTray->call_error[function];
    return gpu != NULL ? (nvmlReturn_t)gpu->call_error[function] : NVML_SUCCESS;
}

nvmlReturn_t fakeEnter(enum fakeFunction function, bool arguments_ok)
{
    if (!fakeIsInitialised())
        return NVML_ERROR_UNINITIALIZED;
    fakeCount(function);
    if (!fakeIsCurrentGeneration())
        return NVML_ERROR_UNINITIALIZED;
    if (!arguments_ok)
        return NVML_ERROR_INVALID_ARGUMENT;
    fakeDelayUs((uint64_t)fakeTray->call_latency_us + fakeTray->call_delay_us[function]);
    return fakeCallError(function, NULL);
}

/* An absent GPU answers like a lost one to whoever still holds its handle. */
nvmlReturn_t fakeEnterGpu(enum fakeFunction function, nvmlDevice_t device, bool arguments_ok,
                          struct fakeGpu **gpu)
{
    unsigned int index;
    nvmlReturn_t refused = fakeEnter(function, arguments_ok);

    if (refused != NVML_SUCCESS)
        return refused;
    if (!fakeGpuOf(device, &index)) /* never its handle, or not any more since a moment ago */
        return fakeIsCurrentGeneration() ? NVML_ERROR_INVALID_ARGUMENT : NVML_ERROR_UNINITIALIZED;
    *gpu = &fakeTray->gpus[index];
    fakeHang(*gpu);
    if (!fakeIsCurrentGeneration())
        return NVML_ERROR_UNINITIALIZED;
    if ((*gpu)->absent)
        return NVML_ERROR_GPU_IS_LOST;
    if ((*gpu)->error != 0)
        return (nvmlReturn_t)(*gpu)->error;
    return fakeCallError(function, *gpu);
}
