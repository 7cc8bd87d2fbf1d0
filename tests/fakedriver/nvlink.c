/*
 * NVLink through its own calls, one link each, as generic tools ask.
 *
 * State and version answer from the fields. The capability query says yes beyond the links that the
 * board has, as reported of real drivers, so a caller that trusts it meets INVALID_ARGUMENT.
 */
#include <stdio.h>
#include <string.h>

#include "driver.h"
#include "field_table.h"

#define FIELD_LINK_STATE 165u
#define FIELD_LINK_VERSION 166u

nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned int link,
                                      nvmlEnableState_t *isActive)
{
    unsigned long long state = 0;

    ENTER_GPU(nvmlDeviceGetNvLinkState, device, isActive != NULL && link < FIELD_LINKS);
    nvmlReturn_t result = fakeFieldInteger(gpu, FIELD_LINK_STATE, link, &state);
    *isActive = state != 0 ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
    return result;
}

nvmlReturn_t nvmlDeviceGetNvLinkVersion(nvmlDevice_t device, unsigned int link,
                                        unsigned int *version)
{
    unsigned long long value = 0;

    ENTER_GPU(nvmlDeviceGetNvLinkVersion, device, version != NULL && link < FIELD_LINKS);
    nvmlReturn_t result = fakeFieldInteger(gpu, FIELD_LINK_VERSION, link, &value);
    *version = (unsigned int)value;
    return result;
}

nvmlReturn_t nvmlDeviceGetNvLinkCapability(nvmlDevice_t device, unsigned int link,
                                           nvmlNvLinkCapability_t capability,
                                           unsigned int *capResult)
{
    ENTER_GPU(nvmlDeviceGetNvLinkCapability, device,
              capResult != NULL && link < NVML_NVLINK_MAX_LINKS &&
                  (unsigned int)capability < NVML_NVLINK_CAP_COUNT);
    *capResult = capability != NVML_NVLINK_CAP_SLI_BRIDGE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t device, unsigned int link,
                                                 nvmlIntNvLinkDeviceType_t *pNvLinkDeviceType)
{
    ENTER_GPU(nvmlDeviceGetNvLinkRemoteDeviceType, device,
              pNvLinkDeviceType != NULL && link < FIELD_LINKS);
    *pNvLinkDeviceType = NVML_NVLINK_DEVICE_TYPE_SWITCH;
    return NVML_SUCCESS;
}

/* The switch is in another tray and has no address on this host's bus. */
#define READ_REMOTE_PCI(function)                                                                 \
    nvmlReturn_t function(nvmlDevice_t device, unsigned int link, nvmlPciInfo_t *pci)             \
    {                                                                                             \
        ENTER_GPU(function, device, pci != NULL && link < FIELD_LINKS);                           \
        memset(pci, 0, sizeof(*pci));                                                             \
        snprintf(pci->busIdLegacy, sizeof(pci->busIdLegacy), "0000:00:00.0");                     \
        snprintf(pci->busId, sizeof(pci->busId), "00000000:00:00.0");                             \
        return NVML_SUCCESS;                                                                      \
    }

READ_REMOTE_PCI(nvmlDeviceGetNvLinkRemotePciInfo)
READ_REMOTE_PCI(nvmlDeviceGetNvLinkRemotePciInfo_v2)
