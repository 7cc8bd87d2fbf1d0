/*
 * Device handles: by index, UUID and PCI address.
 *
 * A handle is an opaque number holding the GPU and the driver generation, so one kept across a
 * reload is recognised as stale. An absent GPU vanishes from count and index; a lost one keeps its
 * place and fails when its handle is asked for.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "driver.h"

#define HANDLE_TAG 0x5A00000000000000ull
#define HANDLE_TAG_MASK 0xFF00000000000000ull

static uint64_t handleNumber(unsigned int gpu)
{
    return HANDLE_TAG | ((uint64_t)fakeTray->generation << 8) | (gpu + 1);
}

nvmlDevice_t fakeHandleOf(unsigned int gpu)
{
    return (nvmlDevice_t)(uintptr_t)handleNumber(gpu);
}

bool fakeGpuOf(nvmlDevice_t device, unsigned int *gpu)
{
    for (unsigned int i = 0; i < FAKE_GPUS; i++) {
        if ((uint64_t)(uintptr_t)device == handleNumber(i)) {
            *gpu = i;
            return true;
        }
    }
    return false;
}

unsigned int fakeGpuIndex(const struct fakeGpu *gpu)
{
    return (unsigned int)(gpu - fakeTray->gpus);
}

/* The number that system events carry: domain, bus and device packed as in a PCI address. */
unsigned int fakePciId(const struct fakeGpu *gpu)
{
    return gpu->pci_domain << 16 | gpu->pci_bus << 8 | gpu->pci_device << 3;
}

static nvmlReturn_t openGpu(enum fakeFunction function, unsigned int index, nvmlDevice_t *device)
{
    const struct fakeGpu *gpu = &fakeTray->gpus[index];

    fakeHang(gpu);
    if (gpu->error == NVML_ERROR_GPU_IS_LOST)
        return NVML_ERROR_GPU_IS_LOST;
    nvmlReturn_t error = fakeCallError(function, gpu);
    if (error == NVML_SUCCESS)
        *device = fakeHandleOf(index);
    return error;
}

static unsigned int countPresent(unsigned int below)
{
    unsigned int count = 0;

    for (unsigned int i = 0; i < below; i++)
        count += fakeTray->gpus[i].absent == 0;
    return count;
}

/* A driver may tell a number that its handles do not bear out. */
static nvmlReturn_t deviceCount(enum fakeFunction function, unsigned int *count)
{
    nvmlReturn_t refused = fakeEnter(function, count != NULL);

    if (refused == NVML_SUCCESS)
        *count = fakeTray->count_reported != 0 ? fakeTray->count_reported : countPresent(FAKE_GPUS);
    return refused;
}

nvmlReturn_t nvmlDeviceGetCount(unsigned int *deviceCount_)
{
    return deviceCount(FN_nvmlDeviceGetCount, deviceCount_);
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *deviceCount_)
{
    return deviceCount(FN_nvmlDeviceGetCount_v2, deviceCount_);
}

static nvmlReturn_t handleByIndex(enum fakeFunction function, unsigned int index,
                                  nvmlDevice_t *device)
{
    nvmlReturn_t refused = fakeEnter(function, device != NULL);

    if (refused != NVML_SUCCESS)
        return refused;
    for (unsigned int i = 0; i < FAKE_GPUS; i++)
        if (!fakeTray->gpus[i].absent && countPresent(i) == index)
            return openGpu(function, i, device);
    return NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned int index, nvmlDevice_t *device)
{
    return handleByIndex(FN_nvmlDeviceGetHandleByIndex, index, device);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device)
{
    return handleByIndex(FN_nvmlDeviceGetHandleByIndex_v2, index, device);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
    ENTER(nvmlDeviceGetHandleByUUID, uuid != NULL && device != NULL);
    for (unsigned int i = 0; i < FAKE_GPUS; i++)
        if (!fakeTray->gpus[i].absent && strcmp(fakeTray->gpus[i].uuid, uuid) == 0)
            return openGpu(FN_nvmlDeviceGetHandleByUUID, i, device);
    return NVML_ERROR_NOT_FOUND;
}

/* Two GPUs of a module share its serial, so the answer is one of the two: the first. */
nvmlReturn_t nvmlDeviceGetHandleBySerial(const char *serial, nvmlDevice_t *device)
{
    ENTER(nvmlDeviceGetHandleBySerial, serial != NULL && device != NULL);
    for (unsigned int i = 0; i < FAKE_GPUS; i++)
        if (!fakeTray->gpus[i].absent && strcmp(fakeTray->gpus[i].serial, serial) == 0)
            return openGpu(FN_nvmlDeviceGetHandleBySerial, i, device);
    return NVML_ERROR_NOT_FOUND;
}

static bool isAt(const struct fakeGpu *gpu, unsigned int domain, unsigned int bus,
                 unsigned int device)
{
    return gpu->pci_domain == domain && gpu->pci_bus == bus && gpu->pci_device == device;
}

static nvmlReturn_t handleByPci(enum fakeFunction function, const char *address,
                                nvmlDevice_t *device)
{
    unsigned int domain;
    unsigned int bus;
    unsigned int slot;
    nvmlReturn_t refused = fakeEnter(function, address != NULL && device != NULL);

    if (refused != NVML_SUCCESS)
        return refused;
    if (sscanf(address, "%x:%x:%x", &domain, &bus, &slot) != 3)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned int i = 0; i < FAKE_GPUS; i++)
        if (!fakeTray->gpus[i].absent && isAt(&fakeTray->gpus[i], domain, bus, slot))
            return openGpu(function, i, device);
    return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId(const char *pciBusId, nvmlDevice_t *device)
{
    return handleByPci(FN_nvmlDeviceGetHandleByPciBusId, pciBusId, device);
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *pciBusId, nvmlDevice_t *device)
{
    return handleByPci(FN_nvmlDeviceGetHandleByPciBusId_v2, pciBusId, device);
}

READ_ONE(nvmlDeviceGetIndex, unsigned int, countPresent(fakeGpuIndex(gpu)))
