/*
 * Where a GPU sits: chassis, slot and tray, and its membership of the NVLink fabric.
 *
 * Each struct starts with its version; an unknown version is refused, as real drivers do.
 */
#include <string.h>

#include "driver.h"

#define PADDING_JUNK 0xA5

nvmlReturn_t nvmlDeviceGetPlatformInfo(nvmlDevice_t device, nvmlPlatformInfo_t *platformInfo)
{
    ENTER_GPU(nvmlDeviceGetPlatformInfo, device, platformInfo != NULL);
    if (platformInfo->version != nvmlPlatformInfo_v2)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    memcpy(platformInfo->ibGuid, gpu->ib_guid, sizeof(platformInfo->ibGuid));
    memcpy(platformInfo->chassisSerialNumber, gpu->chassis_serial,
           sizeof(platformInfo->chassisSerialNumber));
    platformInfo->slotNumber = (unsigned char)gpu->slot_number;
    platformInfo->trayIndex = (unsigned char)gpu->tray_index;
    platformInfo->hostId = (unsigned char)gpu->host_id;
    platformInfo->peerType = (unsigned char)gpu->peer_type;
    platformInfo->moduleId = (unsigned char)gpu->module_id;
    return NVML_SUCCESS;
}

/* The state is one byte; a caller that reads four must not rely on the other three being zero. */
static void fillPadding(void *first, void *next)
{
    if (fakeTray->quirk_fabric_padding)
        memset(first, PADDING_JUNK, (size_t)((char *)next - (char *)first));
}

static void fillFabricV2(const struct fakeGpu *gpu, nvmlGpuFabricInfo_v2_t *info)
{
    memcpy(info->clusterUuid, gpu->cluster_uuid, sizeof(info->clusterUuid));
    info->status = (nvmlReturn_t)gpu->fabric_status;
    info->cliqueId = gpu->fabric_clique;
    fillPadding(&info->state, &info->healthMask);
    info->state = (nvmlGpuFabricState_t)gpu->fabric_state;
    info->healthMask = gpu->fabric_health_mask;
}

/* Version 3 only appends to version 2. */
_Static_assert(offsetof(nvmlGpuFabricInfo_v3_t, healthSummary) == sizeof(nvmlGpuFabricInfo_v2_t),
               "fabric info version 3 continues version 2");

nvmlReturn_t nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, nvmlGpuFabricInfoV_t *gpuFabricInfo)
{
    ENTER_GPU(nvmlDeviceGetGpuFabricInfoV, device, gpuFabricInfo != NULL);
    if (gpuFabricInfo->version != nvmlGpuFabricInfo_v2 &&
        gpuFabricInfo->version != nvmlGpuFabricInfo_v3)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    fillFabricV2(gpu, (nvmlGpuFabricInfo_v2_t *)gpuFabricInfo);
    if (gpuFabricInfo->version == nvmlGpuFabricInfo_v3)
        gpuFabricInfo->healthSummary = (unsigned char)gpu->fabric_summary;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuFabricInfo(nvmlDevice_t device, nvmlGpuFabricInfo_t *gpuFabricInfo)
{
    ENTER_GPU(nvmlDeviceGetGpuFabricInfo, device, gpuFabricInfo != NULL);
    memcpy(gpuFabricInfo->clusterUuid, gpu->cluster_uuid, sizeof(gpuFabricInfo->clusterUuid));
    gpuFabricInfo->status = (nvmlReturn_t)gpu->fabric_status;
    gpuFabricInfo->cliqueId = gpu->fabric_clique;
    gpuFabricInfo->state = (nvmlGpuFabricState_t)gpu->fabric_state;
    return NVML_SUCCESS;
}
