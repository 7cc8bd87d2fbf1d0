/* Calls about the driver and the node as a whole. */
#include "driver.h"

struct errorText {
    nvmlReturn_t code;
    const char *text;
};

static const struct errorText error_texts[] = {
    {NVML_SUCCESS, "no error"},
    {NVML_ERROR_UNINITIALIZED, "library not initialised"},
    {NVML_ERROR_INVALID_ARGUMENT, "bad argument"},
    {NVML_ERROR_NOT_SUPPORTED, "not supported here"},
    {NVML_ERROR_NO_PERMISSION, "permission missing"},
    {NVML_ERROR_NOT_FOUND, "nothing found"},
    {NVML_ERROR_INSUFFICIENT_SIZE, "buffer too small"},
    {NVML_ERROR_DRIVER_NOT_LOADED, "driver not loaded"},
    {NVML_ERROR_TIMEOUT, "time ran out"},
    {NVML_ERROR_GPU_IS_LOST, "gpu lost"},
    {NVML_ERROR_RESET_REQUIRED, "gpu needs a reset"},
    {NVML_ERROR_LIB_RM_VERSION_MISMATCH, "library and driver differ"},
    {NVML_ERROR_ARGUMENT_VERSION_MISMATCH, "struct version unknown"},
    {NVML_ERROR_GPU_NOT_FOUND, "no gpu on this node"},
};

const char *nvmlErrorString(nvmlReturn_t result)
{
    for (size_t i = 0; i < sizeof(error_texts) / sizeof(error_texts[0]); i++)
        if (error_texts[i].code == result)
            return error_texts[i].text;
    return "unlisted error of the simulated driver";
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length)
{
    ENTER(nvmlSystemGetDriverVersion, version != NULL);
    return fakeCopyText(fakeTray->driver_version, fakeTray->unterminated_text != 0, version, length);
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned int length)
{
    ENTER(nvmlSystemGetNVMLVersion, version != NULL);
    return fakeCopyText(fakeTray->nvml_version, fakeTray->unterminated_text != 0, version, length);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *cudaDriverVersion)
{
    ENTER(nvmlSystemGetCudaDriverVersion, cudaDriverVersion != NULL);
    *cudaDriverVersion = (int)fakeTray->cuda_driver_version;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *cudaDriverVersion)
{
    ENTER(nvmlSystemGetCudaDriverVersion_v2, cudaDriverVersion != NULL);
    *cudaDriverVersion = (int)fakeTray->cuda_driver_version;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetConfComputeState(nvmlConfComputeSystemState_t *state)
{
    ENTER(nvmlSystemGetConfComputeState, state != NULL);
    state->environment = NVML_CC_SYSTEM_ENVIRONMENT_UNAVAILABLE;
    state->ccFeature = NVML_CC_SYSTEM_FEATURE_DISABLED;
    state->devToolsMode = NVML_CC_SYSTEM_DEVTOOLS_MODE_OFF;
    return NVML_SUCCESS;
}
