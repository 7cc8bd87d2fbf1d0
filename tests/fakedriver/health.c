/*
 * Row remapping, repair and PCIe replays through their own calls.
 *
 * They answer from the same fields that GetFieldValues answers from, so that one injected count
 * or error is seen the same way through both doors.
 */
#include "driver.h"

enum {
    FIELD_PCIE_REPLAY = 94,
    FIELD_REMAPPED_COR = 142,
    FIELD_REMAPPED_UNC = 143,
    FIELD_REMAPPED_PENDING = 144,
    FIELD_REMAPPED_FAILURE = 145,
    FIELD_REMAPPED_COR_INACTIVE = 301,
    FIELD_REMAPPED_UNC_INACTIVE = 302,
};

static nvmlReturn_t readField(const struct fakeGpu *gpu, unsigned int id, unsigned int *out)
{
    unsigned long long value = 0;
    nvmlReturn_t result = fakeFieldInteger(gpu, id, 0, &value);

    if (result == NVML_SUCCESS)
        *out = (unsigned int)value;
    return result;
}

struct wanted {
    unsigned int field;
    unsigned int *out;
};

/* Up to the row without a field; the first error ends it. */
static nvmlReturn_t readFields(const struct fakeGpu *gpu, const struct wanted *wanted)
{
    nvmlReturn_t result = NVML_SUCCESS;

    for (; result == NVML_SUCCESS && wanted->field != 0; wanted++)
        result = readField(gpu, wanted->field, wanted->out);
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
    return readFields(gpu, (const struct wanted[]){{FIELD_REMAPPED_COR, corrRows},
                                                   {FIELD_REMAPPED_UNC, uncRows},
                                                   {FIELD_REMAPPED_PENDING, isPending},
                                                   {FIELD_REMAPPED_FAILURE, failureOccurred},
                                                   {0, NULL}});
}

nvmlReturn_t nvmlDeviceGetRemappedRows_v2(nvmlDevice_t device, nvmlRemappedRowsInfo_v2_t *info)
{
    ENTER_GPU(nvmlDeviceGetRemappedRows_v2, device, info != NULL);
    return readFields(gpu,
                      (const struct wanted[]){{FIELD_REMAPPED_COR, &info->corrActiveRemaps},
                                              {FIELD_REMAPPED_COR_INACTIVE, &info->corrInactiveRemaps},
                                              {FIELD_REMAPPED_UNC, &info->uncActiveRemaps},
                                              {FIELD_REMAPPED_UNC_INACTIVE, &info->uncInactiveRemaps},
                                              {FIELD_REMAPPED_PENDING, &info->bPending},
                                              {FIELD_REMAPPED_FAILURE, &info->bFailureOccurred},
                                              {0, NULL}});
}

nvmlReturn_t nvmlDeviceGetRowRemapperHistogram(nvmlDevice_t device,
                                               nvmlRowRemapperHistogramValues_t *values)
{
    ENTER_GPU(nvmlDeviceGetRowRemapperHistogram, device, values != NULL);
    *values = (nvmlRowRemapperHistogramValues_t){
        .max = gpu->bank_remaps[0],
        .high = gpu->bank_remaps[1],
        .partial = gpu->bank_remaps[2],
        .low = gpu->bank_remaps[3],
        .none = gpu->bank_remaps[4],
    };
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
