/* Who a GPU is: names, serials, addresses, modes that do not change while it runs. */
#include <stdio.h>
#include <string.h>

#include "driver.h"

#define FILLER 'x'
#define COMPUTE_CAPABILITY_MAJOR 10
#define COMPUTE_CAPABILITY_MINOR 3

/* Unterminated text fills the caller's buffer to its last byte, end mark included. */
nvmlReturn_t fakeCopyText(const char *text, bool unterminated, char *out, unsigned int length)
{
    size_t needed = strlen(text) + 1;

    if (length < needed)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    memcpy(out, text, needed);
    if (unterminated)
        memset(out + needed - 1, FILLER, length - needed + 1);
    return NVML_SUCCESS;
}

#define READ_TEXT(function, member)                                                               \
    nvmlReturn_t function(nvmlDevice_t device, char *text, unsigned int length)                   \
    {                                                                                             \
        ENTER_GPU(function, device, text != NULL);                                                \
        return fakeCopyText(gpu->member, gpu->unterminated_text != 0, text, length);                                           \
    }

READ_TEXT(nvmlDeviceGetName, name)
READ_TEXT(nvmlDeviceGetUUID, uuid)
READ_TEXT(nvmlDeviceGetSerial, serial)
READ_TEXT(nvmlDeviceGetBoardPartNumber, board_part_number)
READ_TEXT(nvmlDeviceGetVbiosVersion, vbios_version)

/* The only version call that takes no length: its buffer has a fixed size. */
nvmlReturn_t nvmlDeviceGetGspFirmwareVersion(nvmlDevice_t device, char *version)
{
    ENTER_GPU(nvmlDeviceGetGspFirmwareVersion, device, version != NULL);
    return fakeCopyText(gpu->gsp_version, gpu->unterminated_text != 0, version,
                        NVML_GSP_FIRMWARE_VERSION_BUF_SIZE);
}

READ_ONE(nvmlDeviceGetBrand, nvmlBrandType_t, NVML_BRAND_NVIDIA)
READ_ONE(nvmlDeviceGetArchitecture, nvmlDeviceArchitecture_t, NVML_DEVICE_ARCH_BLACKWELL)
READ_ONE(nvmlDeviceGetMinorNumber, unsigned int, gpu->minor)
READ_ONE(nvmlDeviceGetModuleId, unsigned int, gpu->module_id)
READ_ONE(nvmlDeviceGetNumaNodeId, unsigned int, gpu->numa_node)
READ_ONE(nvmlDeviceGetBoardId, unsigned int, fakePciId(gpu))
READ_ONE(nvmlDeviceGetPersistenceMode, nvmlEnableState_t, gpu->persistence)
READ_ONE(nvmlDeviceGetComputeMode, nvmlComputeMode_t, gpu->compute_mode)
READ_ONE(nvmlDeviceGetDisplayActive, nvmlEnableState_t, NVML_FEATURE_DISABLED)
READ_ONE(nvmlDeviceGetDisplayMode, nvmlEnableState_t, NVML_FEATURE_DISABLED)
READ_ONE(nvmlDeviceIsMigDeviceHandle, unsigned int, 0)

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *currentMode,
                                  unsigned int *pendingMode)
{
    ENTER_GPU(nvmlDeviceGetMigMode, device, currentMode != NULL && pendingMode != NULL);
    *currentMode = NVML_DEVICE_MIG_DISABLE;
    *pendingMode = NVML_DEVICE_MIG_DISABLE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
    ENTER_GPU(nvmlDeviceGetCudaComputeCapability, device, major != NULL && minor != NULL);
    *major = COMPUTE_CAPABILITY_MAJOR;
    *minor = COMPUTE_CAPABILITY_MINOR;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPdi(nvmlDevice_t device, nvmlPdi_t *pdi)
{
    ENTER_GPU(nvmlDeviceGetPdi, device, pdi != NULL);
    if (pdi->version != nvmlPdi_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    pdi->value = gpu->pdi;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAddressingMode(nvmlDevice_t device, nvmlDeviceAddressingMode_t *mode)
{
    ENTER_GPU(nvmlDeviceGetAddressingMode, device, mode != NULL);
    if (mode->version != nvmlDeviceAddressingMode_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    mode->value = gpu->addressing_mode;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetC2cModeInfoV(nvmlDevice_t device, nvmlC2cModeInfo_v1_t *c2cModeInfo)
{
    ENTER_GPU(nvmlDeviceGetC2cModeInfoV, device, c2cModeInfo != NULL);
    c2cModeInfo->isC2cEnabled = 1;
    return NVML_SUCCESS;
}

static void fillPci(const struct fakeGpu *gpu, nvmlPciInfo_t *pci)
{
    memset(pci, 0, sizeof(*pci));
    pci->domain = gpu->pci_domain;
    pci->bus = gpu->pci_bus;
    pci->device = gpu->pci_device;
    pci->pciDeviceId = gpu->pci_device_id;
    pci->pciSubSystemId = gpu->pci_subsystem_id;
    snprintf(pci->busIdLegacy, sizeof(pci->busIdLegacy), "%04X:%02X:%02X.0",
             gpu->pci_domain & 0xFFFFu, gpu->pci_bus & 0xFFu, gpu->pci_device & 0xFFu);
    snprintf(pci->busId, sizeof(pci->busId), "%08X:%02X:%02X.0", gpu->pci_domain,
             gpu->pci_bus & 0xFFu, gpu->pci_device & 0xFFu);
}

#define READ_PCI(function)                                                                        \
    nvmlReturn_t function(nvmlDevice_t device, nvmlPciInfo_t *pci)                                \
    {                                                                                             \
        ENTER_GPU(function, device, pci != NULL);                                                 \
        fillPci(gpu, pci);                                                                        \
        return NVML_SUCCESS;                                                                      \
    }

READ_PCI(nvmlDeviceGetPciInfo)
READ_PCI(nvmlDeviceGetPciInfo_v2)
READ_PCI(nvmlDeviceGetPciInfo_v3)

READ_ONE(nvmlDeviceGetCurrPcieLinkGeneration, unsigned int, gpu->pcie_generation)
READ_ONE(nvmlDeviceGetMaxPcieLinkGeneration, unsigned int, gpu->pcie_generation_max)
READ_ONE(nvmlDeviceGetGpuMaxPcieLinkGeneration, unsigned int, gpu->pcie_generation_max)
READ_ONE(nvmlDeviceGetCurrPcieLinkWidth, unsigned int, gpu->pcie_width)
READ_ONE(nvmlDeviceGetMaxPcieLinkWidth, unsigned int, gpu->pcie_width)
