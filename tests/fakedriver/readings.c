/* What a GPU measures, one value a call: power, temperature, load, clocks, memory, PCIe. */
#include "driver.h"

#define SCOPE_GPU 0
#define CODEC_SAMPLING_US 167000u

/* The counter of real boards moves in steps; a test may ask for them. */
uint64_t fakeEnergyNow(const struct fakeGpu *gpu)
{
    uint64_t now = driverNs(fakeTray);

    if (fakeTray->energy_step_ms != 0)
        now -= now % (fakeTray->energy_step_ms * NS_PER_MS);
    return rampValue(&gpu->energy_mj, now);
}

READ_ONE(nvmlDeviceGetPowerUsage, unsigned int, fakeMeasured(gpu, gpu->power_average_mw))
READ_ONE(nvmlDeviceGetEnforcedPowerLimit, unsigned int, gpu->limit_current_mw[SCOPE_GPU])
READ_ONE(nvmlDeviceGetPowerManagementLimit, unsigned int, gpu->limit_requested_mw[SCOPE_GPU])
READ_ONE(nvmlDeviceGetPowerManagementDefaultLimit, unsigned int, gpu->limit_default_mw[SCOPE_GPU])
READ_ONE(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, fakeEnergyNow(gpu))
READ_ONE(nvmlDeviceGetPerformanceState, nvmlPstates_t, gpu->performance_state)
READ_ONE(nvmlDeviceGetPowerState, nvmlPstates_t, gpu->performance_state)
READ_ONE(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, gpu->clock_events)
READ_ONE(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, gpu->clock_events)

/* Since the driver took the GPU: the only uptime of a GPU, and zero again after a reload. */
nvmlReturn_t nvmlDeviceGetGpuUptime_v1(nvmlDevice_t device, nvmlGpuUptime_v1_t *uptime)
{
    ENTER_GPU(nvmlDeviceGetGpuUptime_v1, device, uptime != NULL);
    uptime->uptime = (unsigned int)rampValue(&gpu->uptime_s, driverNs(fakeTray));
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device,
                                                          unsigned int *minLimit,
                                                          unsigned int *maxLimit)
{
    ENTER_GPU(nvmlDeviceGetPowerManagementLimitConstraints, device,
              minLimit != NULL && maxLimit != NULL);
    *minLimit = gpu->limit_min_mw[SCOPE_GPU];
    *maxLimit = gpu->limit_max_mw[SCOPE_GPU];
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensorType,
                                      unsigned int *temp)
{
    ENTER_GPU(nvmlDeviceGetTemperature, device,
              temp != NULL && sensorType == NVML_TEMPERATURE_GPU);
    *temp = (unsigned int)gpu->temperature_c;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *temperature)
{
    ENTER_GPU(nvmlDeviceGetTemperatureV, device, temperature != NULL);
    if (temperature->version != nvmlTemperature_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (temperature->sensorType != NVML_TEMPERATURE_GPU)
        return NVML_ERROR_INVALID_ARGUMENT;
    temperature->temperature = gpu->temperature_c;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMarginTemperature(nvmlDevice_t device,
                                            nvmlMarginTemperature_t *marginTempInfo)
{
    ENTER_GPU(nvmlDeviceGetMarginTemperature, device, marginTempInfo != NULL);
    if (marginTempInfo->version != nvmlMarginTemperature_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    marginTempInfo->marginTemperature = gpu->margin_c;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization)
{
    ENTER_GPU(nvmlDeviceGetUtilizationRates, device, utilization != NULL);
    utilization->gpu = gpu->gpu_utilisation;
    utilization->memory = gpu->memory_utilisation;
    return NVML_SUCCESS;
}

#define READ_CODEC(function, member)                                                              \
    nvmlReturn_t function(nvmlDevice_t device, unsigned int *utilization, unsigned int *period)   \
    {                                                                                             \
        ENTER_GPU(function, device, utilization != NULL && period != NULL);                       \
        *utilization = gpu->member;                                                               \
        *period = CODEC_SAMPLING_US;                                                              \
        return NVML_SUCCESS;                                                                      \
    }

READ_CODEC(nvmlDeviceGetEncoderUtilization, encoder_utilisation)
READ_CODEC(nvmlDeviceGetDecoderUtilization, decoder_utilisation)

#define READ_CLOCK(function, member)                                                              \
    nvmlReturn_t function(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock)         \
    {                                                                                             \
        ENTER_GPU(function, device, clock != NULL && (unsigned int)type <= NVML_CLOCK_VIDEO);     \
        *clock = gpu->member[type];                                                               \
        return NVML_SUCCESS;                                                                      \
    }

READ_CLOCK(nvmlDeviceGetClockInfo, clock_mhz)
READ_CLOCK(nvmlDeviceGetMaxClockInfo, clock_max_mhz)

/* The old call has no place for the reserved part and counts it as used. */
nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    ENTER_GPU(nvmlDeviceGetMemoryInfo, device, memory != NULL);
    memory->total = gpu->memory_total;
    memory->free = gpu->memory_free;
    memory->used = gpu->memory_total - gpu->memory_free;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    ENTER_GPU(nvmlDeviceGetMemoryInfo_v2, device, memory != NULL);
    if (memory->version != nvmlMemory_v2)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    memory->total = gpu->memory_total;
    memory->reserved = gpu->memory_reserved;
    memory->free = gpu->memory_free;
    memory->used = gpu->memory_used;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t *bar1Memory)
{
    ENTER_GPU(nvmlDeviceGetBAR1MemoryInfo, device, bar1Memory != NULL);
    bar1Memory->bar1Total = gpu->bar1_total;
    bar1Memory->bar1Free = gpu->bar1_total;
    bar1Memory->bar1Used = 0;
    return NVML_SUCCESS;
}

/* Real drivers measure during the call, which is why nobody should make it in a loop. */
nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t device, nvmlPcieUtilCounter_t counter,
                                         unsigned int *value)
{
    ENTER_GPU(nvmlDeviceGetPcieThroughput, device,
              value != NULL && (unsigned int)counter < NVML_PCIE_UTIL_COUNT);
    fakeSleepNs(fakeTray->pcie_throughput_ms * NS_PER_MS);
    *value = counter == NVML_PCIE_UTIL_TX_BYTES ? gpu->pcie_tx_kib : gpu->pcie_rx_kib;
    return NVML_SUCCESS;
}
