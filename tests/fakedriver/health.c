/*
 * ECC, row remapping and repair through their own calls.
 *
 * They answer from the same fields that GetFieldValues answers from, so that one injected count
 * or error is seen the same way through both doors.
 */
#include "driver.h"

enum {
    FIELD_ECC_TOTAL = 3,
    FIELD_PCIE_REPLAY = 94,
    FIELD_REMAPPED_COR = 142,
    FIELD_REMAPPED_UNC = 143,
    FIELD_REMAPPED_PENDING = 144,
    FIELD_REMAPPED_FAILURE = 145,
};

#define BANKS_OF_A_HEALTHY_GPU 5952u

/* The four totals follow one another: corrected and uncorrected, volatile before aggregate. */
nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t errorType,
                                         nvmlEccCounterType_t counterType,
                                         unsigned long long *eccCounts)
{
    ENTER_GPU(nvmlDeviceGetTotalEccErrors, device,
              eccCounts != NULL && (unsigned int)errorType <= NVML_MEMORY_ERROR_TYPE_UNCORRECTED &&
                  (unsigned int)counterType <= NVML_AGGREGATE_ECC);
    return fakeFieldInteger(gpu, FIELD_ECC_TOTAL + 2 * counterType + errorType, 0, eccCounts);
}

nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, nvmlEnableState_t *current,
                                  nvmlEnableState_t *pending)
{
    ENTER_GPU(nvmlDeviceGetEccMode, device, current != NULL && pending != NULL);
    *current = NVML_FEATURE_ENABLED;
    *pending = NVML_FEATURE_ENABLED;
    return NVML_SUCCESS;
}

static nvmlReturn_t readField(struct fakeGpu *gpu, unsigned int id, unsigned int *out)
{
    unsigned long long value = 0;
    nvmlReturn_t result = fakeFieldInteger(gpu, id, 0, &value);

    if (result == NVML_SUCCESS)
        *out = (unsigned int)value;
    return result;
}

nvmlReturn_t nvmlDeviceGetPcieReplayCounter(nvmlDevice_t device, unsigned int *value)
{
    ENTER_GPU(nvmlDeviceGetPcieReplayCounter, device, value != NULL);
    return readField(gpu, FIELD_PCIE_REPLAY, value);
}

nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned int *corrRows,
                                       unsigned int *uncRows, unsigned int *isPending,
                                       unsigned int *failureOccurred)
{
    ENTER_GPU(nvmlDeviceGetRemappedRows, device,
              corrRows != NULL && uncRows != NULL && isPending != NULL && failureOccurred != NULL);
    nvmlReturn_t result = readField(gpu, FIELD_REMAPPED_COR, corrRows);
    if (result == NVML_SUCCESS)
        result = readField(gpu, FIELD_REMAPPED_UNC, uncRows);
    if (result == NVML_SUCCESS)
        result = readField(gpu, FIELD_REMAPPED_PENDING, isPending);
    if (result == NVML_SUCCESS)
        result = readField(gpu, FIELD_REMAPPED_FAILURE, failureOccurred);
    return result;
}

nvmlReturn_t nvmlDeviceGetRowRemapperHistogram(nvmlDevice_t device,
                                               nvmlRowRemapperHistogramValues_t *values)
{
    ENTER_GPU(nvmlDeviceGetRowRemapperHistogram, device, values != NULL);
    *values = (nvmlRowRemapperHistogramValues_t){.max = BANKS_OF_A_HEALTHY_GPU};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRepairStatus(nvmlDevice_t device, nvmlRepairStatus_t *repairStatus)
{
    ENTER_GPU(nvmlDeviceGetRepairStatus, device, repairStatus != NULL);
    if (repairStatus->version != nvmlRepairStatus_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    repairStatus->bChannelRepairPending = gpu->channel_repair_pending;
    repairStatus->bTpcRepairPending = gpu->tpc_repair_pending;
    return NVML_SUCCESS;
}

nvmlReturn_t
nvmlDeviceGetUnrepairableMemoryFlag_v1(nvmlDevice_t device,
                                       nvmlUnrepairableMemoryStatus_v1_t *unrepairableMemoryStatus)
{
    ENTER_GPU(nvmlDeviceGetUnrepairableMemoryFlag_v1, device, unrepairableMemoryStatus != NULL);
    unrepairableMemoryStatus->bUnrepairableMemory = gpu->unrepairable_memory;
    return NVML_SUCCESS;
}
