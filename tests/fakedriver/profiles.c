/* Workload power profiles: which exist, which were asked for, which hold after arbitration. */
#include "driver.h"

/* Only the first 32 of 255 profiles are modelled. */
static nvmlMask255_t mask(uint32_t first_profiles)
{
    return (nvmlMask255_t){.mask = {first_profiles}};
}

nvmlReturn_t nvmlDeviceWorkloadPowerProfileGetCurrentProfiles(
    nvmlDevice_t device, nvmlWorkloadPowerProfileCurrentProfiles_t *currentProfiles)
{
    ENTER_GPU(nvmlDeviceWorkloadPowerProfileGetCurrentProfiles, device, currentProfiles != NULL);
    if (currentProfiles->version != nvmlWorkloadPowerProfileCurrentProfiles_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (gpu->profiles_supported == 0)
        return NVML_ERROR_NOT_SUPPORTED;
    currentProfiles->perfProfilesMask = mask(gpu->profiles_supported);
    currentProfiles->requestedProfilesMask = mask(gpu->profiles_requested);
    currentProfiles->enforcedProfilesMask = mask(gpu->profiles_enforced);
    return NVML_SUCCESS;
}
