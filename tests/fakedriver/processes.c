/* Processes on a GPU. Graphics and MPS lists are always empty: a rack has neither. */
#include "driver.h"

#define NO_INSTANCE 0xFFFFFFFFu

/* With too little room, say how much is needed and fill nothing. */
static nvmlReturn_t checkRoom(const struct fakeGpu *gpu, unsigned int *room, const void *infos)
{
    unsigned int needed = gpu->process_count;
    bool fits = *room >= needed && (needed == 0 || infos != NULL);

    *room = needed;
    return fits ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_SIZE;
}

static nvmlReturn_t listProcesses(const struct fakeGpu *gpu, unsigned int *count,
                                  nvmlProcessInfo_t *infos)
{
    nvmlReturn_t result = checkRoom(gpu, count, infos);

    for (unsigned int i = 0; result == NVML_SUCCESS && i < *count; i++)
        infos[i] = (nvmlProcessInfo_t){gpu->processes[i].pid, gpu->processes[i].used_bytes,
                                       NO_INSTANCE, NO_INSTANCE};
    return result;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *infoCount,
                                                     nvmlProcessInfo_t *infos)
{
    ENTER_GPU(nvmlDeviceGetComputeRunningProcesses_v3, device, infoCount != NULL);
    return listProcesses(gpu, infoCount, infos);
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t device, unsigned int *infoCount,
                                                     nvmlProcessInfo_v2_t *infos)
{
    ENTER_GPU(nvmlDeviceGetComputeRunningProcesses_v2, device, infoCount != NULL);
    return listProcesses(gpu, infoCount, infos);
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses(nvmlDevice_t device, unsigned int *infoCount,
                                                  nvmlProcessInfo_v1_t *infos)
{
    ENTER_GPU(nvmlDeviceGetComputeRunningProcesses, device, infoCount != NULL);
    nvmlReturn_t result = checkRoom(gpu, infoCount, infos);
    for (unsigned int i = 0; result == NVML_SUCCESS && i < *infoCount; i++)
        infos[i] =
            (nvmlProcessInfo_v1_t){gpu->processes[i].pid, gpu->processes[i].used_bytes};
    return result;
}

#define NO_PROCESSES(function)                                                                    \
    nvmlReturn_t function(nvmlDevice_t device, unsigned int *infoCount, nvmlProcessInfo_t *infos) \
    {                                                                                             \
        (void)infos;                                                                              \
        ENTER_GPU(function, device, infoCount != NULL);                                           \
        *infoCount = 0;                                                                           \
        return NVML_SUCCESS;                                                                      \
    }

NO_PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3)
NO_PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v3)

/* Each process gets an equal share of the GPU's load; nothing is newer than what was sampled now. */
static void fillShares(const struct fakeGpu *gpu, unsigned int count,
                       nvmlProcessUtilizationSample_t *samples)
{
    for (unsigned int i = 0; i < count; i++)
        samples[i] = (nvmlProcessUtilizationSample_t){
            .pid = gpu->processes[i].pid,
            .timeStamp = fakeWallUs(),
            .smUtil = gpu->gpu_utilisation / count,
            .memUtil = gpu->memory_utilisation / count,
        };
}

nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device,
                                             nvmlProcessUtilizationSample_t *utilization,
                                             unsigned int *processSamplesCount,
                                             unsigned long long lastSeenTimeStamp)
{
    ENTER_GPU(nvmlDeviceGetProcessUtilization, device, processSamplesCount != NULL);
    if (gpu->process_count == 0 || lastSeenTimeStamp >= fakeWallUs())
        return NVML_ERROR_NOT_FOUND;
    nvmlReturn_t result = checkRoom(gpu, processSamplesCount, utilization);
    if (result == NVML_SUCCESS)
        fillShares(gpu, *processSamplesCount, utilization);
    return result;
}
