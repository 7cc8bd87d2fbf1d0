/*
 * System event sets: driver unbind and bind.
 *
 * Waiting keeps working on a stale generation, since a reload is exactly what the set announces.
 */
#include <pthread.h>
#include <stdint.h>

#include "driver.h"
#include "event_ring.h"

#define SETS 16u
#define SET_TAG 0x5500000000000000ull
#define SUPPORTED (nvmlSystemEventTypeGpuDriverUnbind | nvmlSystemEventTypeGpuDriverBind)

struct systemSet {
    uint64_t handle; /* zero while the place is free */
    uint64_t position;
    uint64_t types;
};

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static struct systemSet sets[SETS];
static uint64_t sets_created;

static struct systemSet *findSet(uint64_t handle)
{
    for (unsigned int i = 0; i < SETS; i++)
        if (sets[i].handle == handle)
            return &sets[i];
    return NULL;
}

nvmlReturn_t nvmlSystemEventSetCreate(nvmlSystemEventSetCreateRequest_t *request)
{
    ENTER(nvmlSystemEventSetCreate, request != NULL);
    if (request->version != nvmlSystemEventSetCreateRequest_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    pthread_mutex_lock(&guard);
    struct systemSet *place = findSet(0);
    if (place != NULL) {
        *place = (struct systemSet){.handle = SET_TAG | ++sets_created};
        request->set = (nvmlSystemEventSet_t)(uintptr_t)place->handle;
    }
    pthread_mutex_unlock(&guard);
    return place != NULL ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_RESOURCES;
}

static struct systemSet *findRequested(nvmlSystemEventSet_t set)
{
    return set != NULL ? findSet((uint64_t)(uintptr_t)set) : NULL;
}

nvmlReturn_t nvmlSystemEventSetFree(nvmlSystemEventSetFreeRequest_t *request)
{
    ENTER(nvmlSystemEventSetFree, request != NULL);
    if (request->version != nvmlSystemEventSetFreeRequest_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    pthread_mutex_lock(&guard);
    struct systemSet *place = findRequested(request->set);
    if (place != NULL)
        place->handle = 0;
    pthread_mutex_unlock(&guard);
    return place != NULL ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

void fakeDropSystemEventSets(void)
{
    pthread_mutex_lock(&guard);
    for (unsigned int i = 0; i < SETS; i++)
        sets[i].handle = 0;
    pthread_mutex_unlock(&guard);
}

nvmlReturn_t nvmlSystemRegisterEvents(nvmlSystemRegisterEventRequest_t *request)
{
    ENTER(nvmlSystemRegisterEvents, request != NULL);
    if (request->version != nvmlSystemRegisterEventRequest_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if ((request->eventTypes & ~(unsigned long long)SUPPORTED) != 0)
        return NVML_ERROR_NOT_SUPPORTED;
    pthread_mutex_lock(&guard);
    struct systemSet *place = findRequested(request->set);
    if (place != NULL) {
        if (place->types == 0)
            place->position = ringHead(fakeTray);
        place->types |= request->eventTypes;
    }
    pthread_mutex_unlock(&guard);
    return place != NULL ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

static bool isWanted(const struct systemSet *set, const struct fakeEvent *event)
{
    return event->is_system && event->gpu < FAKE_GPUS && (set->types & event->type) != 0;
}

/* Fill as many as fit; a full array tells the caller to ask again. */
static nvmlReturn_t takeEvents(nvmlSystemEventSetWaitRequest_t *request)
{
    struct fakeEvent event;

    request->numEvent = 0;
    pthread_mutex_lock(&guard);
    struct systemSet *set = findRequested(request->set);
    while (set != NULL && request->numEvent < request->dataSize &&
           ringNext(fakeTray, &set->position, &event)) {
        if (isWanted(set, &event))
            request->data[request->numEvent++] = (nvmlSystemEventData_v1_t){
                event.type, fakePciId(&fakeTray->gpus[event.gpu])};
    }
    pthread_mutex_unlock(&guard);
    if (set == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    return request->numEvent > 0 ? NVML_SUCCESS : NVML_ERROR_TIMEOUT;
}

static nvmlReturn_t checkWait(const nvmlSystemEventSetWaitRequest_t *request)
{
    if (!fakeIsInitialised())
        return NVML_ERROR_UNINITIALIZED;
    fakeCount(FN_nvmlSystemEventSetWait);
    if (request == NULL || request->data == NULL || request->dataSize == 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    return request->version == nvmlSystemEventSetWaitRequest_v1
               ? NVML_SUCCESS
               : NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
}

nvmlReturn_t nvmlSystemEventSetWait(nvmlSystemEventSetWaitRequest_t *request)
{
    nvmlReturn_t result = checkWait(request);

    if (result != NVML_SUCCESS)
        return result;
    uint64_t deadline = monotonicNs() + request->timeoutms * NS_PER_MS;
    for (;;) {
        uint32_t seen = ringWakeCount(fakeTray);
        uint64_t now = monotonicNs();
        result = fakeIsInitialised() ? takeEvents(request) : NVML_ERROR_UNINITIALIZED;
        if (result != NVML_ERROR_TIMEOUT || now >= deadline ||
            !ringSleep(fakeTray, seen, deadline - now))
            return result;
    }
}
