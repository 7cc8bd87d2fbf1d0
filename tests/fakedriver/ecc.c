/*
 * ECC through its own calls.
 *
 * Totals and locations answer from the same fields that GetFieldValues answers from, so that one
 * injected count or error is seen the same way through both doors. SRAM has counters of its own.
 */
#include "driver.h"

#define FIELD_ECC_TOTAL 3u
#define FIELD_ECC_VOLATILE 7u
#define FIELD_ECC_AGGREGATE 18u
#define LOCATIONS_OF_BOTH_TYPES 5u /* of the sixth, only uncorrected errors are counted */

static bool isErrorType(nvmlMemoryErrorType_t type, nvmlEccCounterType_t counter)
{
    return (unsigned int)type <= NVML_MEMORY_ERROR_TYPE_UNCORRECTED &&
           (unsigned int)counter <= NVML_AGGREGATE_ECC;
}

/* The four totals follow one another: corrected and uncorrected, volatile before aggregate. */
nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t errorType,
                                         nvmlEccCounterType_t counterType,
                                         unsigned long long *eccCounts)
{
    ENTER_GPU(nvmlDeviceGetTotalEccErrors, device,
              eccCounts != NULL && isErrorType(errorType, counterType));
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

/* In the order of the fields: cache, cache, device memory, registers, texture. */
static nvmlReturn_t locationField(nvmlMemoryErrorType_t type, nvmlEccCounterType_t counter,
                                  nvmlMemoryLocation_t location, unsigned int *field)
{
    unsigned int first = counter == NVML_VOLATILE_ECC ? FIELD_ECC_VOLATILE : FIELD_ECC_AGGREGATE;

    if ((unsigned int)location < LOCATIONS_OF_BOTH_TYPES)
        *field = first + 2 * location + type;
    else if (location == NVML_MEMORY_LOCATION_CBU && type == NVML_MEMORY_ERROR_TYPE_UNCORRECTED)
        *field = first + 2 * LOCATIONS_OF_BOTH_TYPES;
    else
        return NVML_ERROR_NOT_SUPPORTED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryErrorCounter(nvmlDevice_t device, nvmlMemoryErrorType_t errorType,
                                             nvmlEccCounterType_t counterType,
                                             nvmlMemoryLocation_t locationType,
                                             unsigned long long *count)
{
    unsigned int field = 0;

    ENTER_GPU(nvmlDeviceGetMemoryErrorCounter, device,
              count != NULL && isErrorType(errorType, counterType) &&
                  (unsigned int)locationType < NVML_MEMORY_LOCATION_COUNT);
    nvmlReturn_t result = locationField(errorType, counterType, locationType, &field);
    return result == NVML_SUCCESS ? fakeFieldInteger(gpu, field, 0, count) : result;
}

/* The vendor documents that only root may ask. */
nvmlReturn_t nvmlDeviceGetSramEccErrorStatus(nvmlDevice_t device, nvmlEccSramErrorStatus_t *status)
{
    ENTER_GPU(nvmlDeviceGetSramEccErrorStatus, device, status != NULL);
    if (status->version != nvmlEccSramErrorStatus_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (!fakeTray->privileged)
        return NVML_ERROR_NO_PERMISSION;
    unsigned long long *const members[FAKE_SRAM_COUNTERS] = {
        &status->aggregateUncParity,     &status->aggregateUncSecDed,
        &status->aggregateCor,           &status->volatileUncParity,
        &status->volatileUncSecDed,      &status->volatileCor,
        &status->aggregateUncBucketL2,   &status->aggregateUncBucketSm,
        &status->aggregateUncBucketPcie, &status->aggregateUncBucketMcu,
        &status->aggregateUncBucketOther,
    };
    for (unsigned int i = 0; i < FAKE_SRAM_COUNTERS; i++)
        *members[i] = gpu->sram_errors[i];
    status->bThresholdExceeded = gpu->sram_threshold_exceeded;
    return NVML_SUCCESS;
}
