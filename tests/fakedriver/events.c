/*
 * Event sets of GPUs: create, register, wait, free.
 *
 * Sets live in a fixed table and their handles are numbers, so waiting on a freed set, or on one
 * from before a reload, is refused instead of touching freed memory.
 */
#include <pthread.h>
#include <stdint.h>

#include "driver.h"
#include "event_ring.h"

#define SETS 64u
#define SET_TAG 0x5E00000000000000ull
#define NO_INSTANCE 0xFFFFFFFFu
#define LONGEST_SLEEP_NS (1000 * NS_PER_MS) /* every change wakes; this is for writers that died before */

struct eventSet {
    uint64_t handle; /* zero while the place is free */
    uint64_t position;
    uint64_t types[FAKE_GPUS];
    uint64_t registered_at[FAKE_GPUS];
};

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static struct eventSet sets[SETS];
static uint64_t sets_created;

static struct eventSet *findSet(nvmlEventSet_t set)
{
    uint64_t handle = (uint64_t)(uintptr_t)set;

    for (unsigned int i = 0; handle != 0 && i < SETS; i++)
        if (sets[i].handle == handle)
            return &sets[i];
    return NULL;
}

static struct eventSet *claimSet(void)
{
    for (unsigned int i = 0; i < SETS; i++) {
        if (sets[i].handle == 0) {
            sets[i] = (struct eventSet){.handle = SET_TAG | ++sets_created,
                                        .position = ringHead(fakeTray)};
            return &sets[i];
        }
    }
    return NULL;
}

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set)
{
    ENTER(nvmlEventSetCreate, set != NULL);
    pthread_mutex_lock(&guard);
    struct eventSet *place = claimSet();
    if (place != NULL)
        *set = (nvmlEventSet_t)(uintptr_t)place->handle;
    pthread_mutex_unlock(&guard);
    return place != NULL ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_RESOURCES;
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set)
{
    ENTER(nvmlEventSetFree, true);
    pthread_mutex_lock(&guard);
    struct eventSet *place = findSet(set);
    if (place != NULL)
        place->handle = 0;
    pthread_mutex_unlock(&guard);
    return place != NULL ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

void fakeDropEventSets(void)
{
    pthread_mutex_lock(&guard);
    for (unsigned int i = 0; i < SETS; i++)
        sets[i].handle = 0;
    pthread_mutex_unlock(&guard);
}

READ_ONE(nvmlDeviceGetSupportedEventTypes, unsigned long long, gpu->supported_events)

/* Only what happens from now on is delivered, also when another GPU registered earlier. */
nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long eventTypes,
                                      nvmlEventSet_t set)
{
    ENTER_GPU(nvmlDeviceRegisterEvents, device, true);
    if ((eventTypes & ~gpu->supported_events) != 0)
        return NVML_ERROR_NOT_SUPPORTED;
    unsigned int index = fakeGpuIndex(gpu);
    pthread_mutex_lock(&guard);
    struct eventSet *place = findSet(set);
    if (place != NULL) {
        if (place->types[index] == 0)
            place->registered_at[index] = ringHead(fakeTray);
        place->types[index] |= eventTypes;
    }
    pthread_mutex_unlock(&guard);
    return place != NULL ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

static bool isWanted(const struct eventSet *set, const struct fakeEvent *event)
{
    return !event->is_system && event->gpu < FAKE_GPUS &&
           (set->types[event->gpu] & event->type) != 0 &&
           event->published > set->registered_at[event->gpu];
}

static void fillData(const struct fakeEvent *event, nvmlEventData_t *data)
{
    *data = (nvmlEventData_t){
        .device = fakeHandleOf(event->gpu),
        .eventType = event->type,
        .eventData = event->type == nvmlEventTypeXidCriticalError ? event->data : 0,
        .gpuInstanceId = NO_INSTANCE,
        .computeInstanceId = NO_INSTANCE,
    };
}

/* SUCCESS with the next event, TIMEOUT when there is none yet, INVALID_ARGUMENT for a freed set. */
static nvmlReturn_t takeEvent(nvmlEventSet_t handle, nvmlEventData_t *data)
{
    struct fakeEvent event;
    nvmlReturn_t result = NVML_ERROR_TIMEOUT;

    pthread_mutex_lock(&guard);
    struct eventSet *set = findSet(handle);
    if (set == NULL)
        result = NVML_ERROR_INVALID_ARGUMENT;
    while (result == NVML_ERROR_TIMEOUT && ringNext(fakeTray, &set->position, &event)) {
        if (isWanted(set, &event)) {
            fillData(&event, data);
            result = NVML_SUCCESS;
        }
    }
    pthread_mutex_unlock(&guard);
    return result;
}

/* Sleep for the next change; false when the wait is over. A signal ends it early, as on Linux. */
static bool sleepUntil(uint64_t deadline_ns, uint32_t seen)
{
    uint64_t now = monotonicNs();

    if (now >= deadline_ns)
        return false;
    uint64_t rest = deadline_ns - now;
    return ringSleep(fakeTray, seen, rest < LONGEST_SLEEP_NS ? rest : LONGEST_SLEEP_NS);
}

static nvmlReturn_t waitForEvent(enum fakeFunction function, nvmlEventSet_t set,
                                 nvmlEventData_t *data, unsigned int timeout_ms)
{
    nvmlReturn_t result = fakeEnter(function, data != NULL);
    uint64_t deadline = monotonicNs() + timeout_ms * NS_PER_MS;

    if (result != NVML_SUCCESS)
        return result;
    for (;;) {
        uint32_t seen = ringWakeCount(fakeTray);
        bool alive = fakeIsInitialised() && fakeIsCurrentGeneration();
        result = alive ? fakeCallError(function, NULL) : NVML_ERROR_UNINITIALIZED;
        if (result == NVML_SUCCESS)
            result = takeEvent(set, data);
        if (result != NVML_ERROR_TIMEOUT || !sleepUntil(deadline, seen))
            return result;
    }
}

nvmlReturn_t nvmlEventSetWait(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms)
{
    return waitForEvent(FN_nvmlEventSetWait, set, data, timeoutms);
}

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms)
{
    return waitForEvent(FN_nvmlEventSetWait_v2, set, data, timeoutms);
}
