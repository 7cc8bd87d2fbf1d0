/*
 * GetSamples: the power of the recent past, finer than polling.
 *
 * Samples lie on a grid of wall-clock time, so repeated calls return the same timestamps; their
 * values replay the recorded steps of power. Other sample kinds are not modelled.
 */
#include "driver.h"

#define BUFFERED_SAMPLES 120u
#define US_PER_MS 1000ull

/* The step that held at a time; before the first recorded one, the oldest that is kept. */
static struct fakePowerChange powerAt(const struct fakeGpu *gpu, uint64_t when_ns)
{
    uint32_t last = __atomic_load_n(&gpu->power_changes, __ATOMIC_ACQUIRE);
    uint32_t kept = last < FAKE_POWER_CHANGES ? last : FAKE_POWER_CHANGES;
    struct fakePowerChange change = {0, gpu->power_instant_mw, gpu->module_instant_mw};

    for (uint32_t back = 1; back <= kept; back++) {
        change = gpu->power_history[(last - back) % FAKE_POWER_CHANGES];
        if (change.since_ns <= when_ns)
            break;
    }
    return change;
}

static nvmlSample_t sampleAt(const struct fakeGpu *gpu, bool module, uint64_t stamp_us,
                             uint64_t now_us)
{
    uint64_t age_ns = (now_us - stamp_us) * NS_PER_US;
    struct fakePowerChange change = powerAt(gpu, driverNs(fakeTray) - age_ns);
    nvmlSample_t sample = {.timeStamp = stamp_us};

    sample.sampleValue.uiVal = module ? change.module_mw : change.gpu_mw;
    return sample;
}

nvmlReturn_t nvmlDeviceGetSamples(nvmlDevice_t device, nvmlSamplingType_t type,
                                  unsigned long long lastSeenTimeStamp,
                                  nvmlValueType_t *sampleValType, unsigned int *sampleCount,
                                  nvmlSample_t *samples)
{
    ENTER_GPU(nvmlDeviceGetSamples, device, sampleValType != NULL && sampleCount != NULL);
    if (type != NVML_TOTAL_POWER_SAMPLES && type != NVML_MODULE_POWER_SAMPLES)
        return NVML_ERROR_NOT_SUPPORTED;
    uint64_t period_us = fakeTray->sample_period_ms * US_PER_MS;
    uint64_t now_us = fakeWallUs();
    uint64_t newest = now_us / period_us;
    uint64_t oldest = newest - BUFFERED_SAMPLES + 1;
    if (lastSeenTimeStamp / period_us >= oldest)
        oldest = lastSeenTimeStamp / period_us + 1;
    if (oldest > newest)
        return NVML_ERROR_NOT_FOUND;
    unsigned int available = (unsigned int)(newest - oldest + 1);
    *sampleValType = NVML_VALUE_TYPE_UNSIGNED_INT;
    unsigned int room = samples != NULL ? *sampleCount : available;
    *sampleCount = available < room ? available : room;
    for (unsigned int i = 0; samples != NULL && i < *sampleCount; i++)
        samples[i] = sampleAt(gpu, type == NVML_MODULE_POWER_SAMPLES,
                              (oldest + i) * period_us, now_us);
    return NVML_SUCCESS;
}
