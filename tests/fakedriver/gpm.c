/*
 * GPM: activity as the difference of two samples of counters that only grow.
 *
 * A sample is a snapshot of every counter; what a metric tells is its growth between two samples
 * over the time between them, so a load that changed meanwhile is averaged. Samples live in a fixed
 * table and their handles are numbers: one that was freed is refused instead of touching freed
 * memory. The vendor asks for more than 100 ms between samples and names no code for less; here it
 * is NO_DATA.
 */
#include "gpm.h"

#include <pthread.h>
#include <stdint.h>

#include "driver.h"
#include "link_traffic.h"

#define SAMPLES 64u
#define SAMPLE_TAG 0x6A00000000000000ull
#define REFRESH_NS (100 * NS_PER_MS)
#define BYTES_PER_MIB (1024.0 * 1024.0)

struct gpmCounter {
    nvmlReturn_t result;
    uint64_t value;
};

struct gpmSample {
    uint64_t handle; /* zero while the place is free */
    uint64_t taken_ns; /* zero until it was filled */
    unsigned int gpu;
    unsigned int generation;
    struct gpmCounter counters[FAKE_GPM_METRICS];
};

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static struct gpmSample samples[SAMPLES];
static uint64_t samples_created;

static struct gpmSample *findSample(nvmlGpmSample_t sample)
{
    uint64_t handle = (uint64_t)(uintptr_t)sample;

    for (unsigned int i = 0; handle != 0 && i < SAMPLES; i++)
        if (samples[i].handle == handle)
            return &samples[i];
    return NULL;
}

static struct gpmSample *claimSample(void)
{
    for (unsigned int i = 0; i < SAMPLES; i++) {
        if (samples[i].handle == 0) {
            samples[i] = (struct gpmSample){.handle = SAMPLE_TAG | ++samples_created};
            return &samples[i];
        }
    }
    return NULL;
}

nvmlReturn_t nvmlGpmSampleAlloc(nvmlGpmSample_t *gpmSample)
{
    ENTER(nvmlGpmSampleAlloc, gpmSample != NULL);
    pthread_mutex_lock(&guard);
    struct gpmSample *place = claimSample();
    if (place != NULL)
        *gpmSample = (nvmlGpmSample_t)(uintptr_t)place->handle;
    pthread_mutex_unlock(&guard);
    return place != NULL ? NVML_SUCCESS : NVML_ERROR_MEMORY;
}

nvmlReturn_t nvmlGpmSampleFree(nvmlGpmSample_t gpmSample)
{
    ENTER(nvmlGpmSampleFree, true);
    pthread_mutex_lock(&guard);
    struct gpmSample *place = findSample(gpmSample);
    if (place != NULL)
        place->handle = 0;
    pthread_mutex_unlock(&guard);
    return place != NULL ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

void fakeDropGpmSamples(void)
{
    pthread_mutex_lock(&guard);
    for (unsigned int i = 0; i < SAMPLES; i++)
        samples[i].handle = 0;
    pthread_mutex_unlock(&guard);
}

static struct gpmCounter sumOfLinks(const struct fakeGpu *gpu, unsigned int field)
{
    struct gpmCounter sum = {NVML_SUCCESS, 0};

    sum.result = fakeLinkBytes(gpu, field, FIELD_ALL_LINKS, &sum.value);
    return sum;
}

static struct gpmCounter readField(const struct fakeGpu *gpu, unsigned int field,
                                   unsigned int scope)
{
    unsigned long long bytes = 0;
    nvmlReturn_t result = fakeFieldInteger(gpu, field, scope, &bytes);

    return (struct gpmCounter){result, bytes};
}

static struct gpmCounter readCounter(const struct fakeGpu *gpu, unsigned int metric, uint64_t now_ns)
{
    struct gpmRow row = fakeGpmRow(metric);

    if (gpu->gpm_error[metric] != 0)
        return (struct gpmCounter){(nvmlReturn_t)gpu->gpm_error[metric], 0};
    switch (row.source) {
    case GPM_RATE:
        return (struct gpmCounter){NVML_SUCCESS, rampValue(&gpu->gpm_rates[metric], now_ns)};
    case GPM_LINKS:
        return sumOfLinks(gpu, row.field);
    case GPM_FIELD:
    case GPM_LINK:
        return readField(gpu, row.field, row.link);
    case GPM_UNKNOWN:
        break;
    }
    return (struct gpmCounter){NVML_ERROR_NOT_SUPPORTED, 0};
}

static void fillSample(struct gpmSample *sample, const struct fakeGpu *gpu)
{
    uint64_t now_ns = driverNs(fakeTray);

    sample->gpu = fakeGpuIndex(gpu);
    sample->generation = fakeTray->generation;
    for (unsigned int metric = 0; metric < FAKE_GPM_METRICS; metric++)
        sample->counters[metric] = readCounter(gpu, metric, now_ns);
    sample->taken_ns = now_ns;
}

nvmlReturn_t nvmlGpmSampleGet(nvmlDevice_t device, nvmlGpmSample_t gpmSample)
{
    ENTER_GPU(nvmlGpmSampleGet, device, true);
    if (gpu->gpm_unsupported)
        return NVML_ERROR_NOT_SUPPORTED;
    pthread_mutex_lock(&guard);
    struct gpmSample *place = findSample(gpmSample);
    if (place != NULL)
        fillSample(place, gpu);
    pthread_mutex_unlock(&guard);
    return place != NULL ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

static nvmlReturn_t checkPair(const struct gpmSample *first, const struct gpmSample *second)
{
    bool filled = first != NULL && second != NULL && first->taken_ns != 0 && second->taken_ns != 0;

    if (!filled || first->gpu != second->gpu || first->generation != second->generation ||
        first->taken_ns > second->taken_ns)
        return NVML_ERROR_INVALID_ARGUMENT;
    return second->taken_ns - first->taken_ns > REFRESH_NS ? NVML_SUCCESS : NVML_ERROR_NO_DATA;
}

static double perUnit(unsigned int metric)
{
    return fakeGpmRow(metric).source == GPM_RATE ? FAKE_GPM_SCALE : BYTES_PER_MIB;
}

static void fillMetric(nvmlGpmMetric_t *metric, const struct gpmSample *first,
                       const struct gpmSample *second)
{
    static const struct gpmCounter none = {NVML_ERROR_NOT_SUPPORTED, 0};
    unsigned int id = metric->metricId;
    struct gpmCounter before = id < FAKE_GPM_METRICS ? first->counters[id] : none;
    struct gpmCounter after = id < FAKE_GPM_METRICS ? second->counters[id] : none;
    double seconds = (double)(second->taken_ns - first->taken_ns) / (double)NS_PER_SECOND;

    metric->nvmlReturn = before.result != NVML_SUCCESS ? before.result : after.result;
    metric->metricInfo.shortName = NULL;
    metric->metricInfo.longName = NULL;
    metric->metricInfo.unit = NULL;
    if (metric->nvmlReturn == NVML_SUCCESS)
        metric->value = (double)(int64_t)(after.value - before.value) / perUnit(id) / seconds;
}

static nvmlReturn_t fillMetrics(nvmlGpmMetricsGet_t *request)
{
    const struct gpmSample *first = findSample(request->sample1);
    const struct gpmSample *second = findSample(request->sample2);
    nvmlReturn_t result = checkPair(first, second);

    for (unsigned int i = 0; result == NVML_SUCCESS && i < request->numMetrics; i++)
        fillMetric(&request->metrics[i], first, second);
    return result;
}

/* Works on the two samples alone: a GPU that hangs or is gone since does not matter. */
nvmlReturn_t nvmlGpmMetricsGet(nvmlGpmMetricsGet_t *metricsGet)
{
    ENTER(nvmlGpmMetricsGet,
          metricsGet != NULL && metricsGet->numMetrics <= NVML_GPM_METRIC_MAX);
    if (metricsGet->version != NVML_GPM_METRICS_GET_VERSION)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    pthread_mutex_lock(&guard);
    nvmlReturn_t result = fillMetrics(metricsGet);
    pthread_mutex_unlock(&guard);
    return result;
}

nvmlReturn_t nvmlGpmQueryDeviceSupport(nvmlDevice_t device, nvmlGpmSupport_t *gpmSupport)
{
    ENTER_GPU(nvmlGpmQueryDeviceSupport, device, gpmSupport != NULL);
    if (gpmSupport->version != NVML_GPM_SUPPORT_VERSION)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    gpmSupport->isSupportedDevice = !gpu->gpm_unsupported;
    return NVML_SUCCESS;
}
