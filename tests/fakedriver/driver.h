/*
 * What the files of the simulated driver share: the mapped tray and the gate of every call.
 *
 * Every exported function starts with ENTER or ENTER_GPU, which count the call, apply injected
 * delays and errors, and refuse calls on a driver that is not initialised or was reloaded.
 */
#ifndef FAKEDRIVER_DRIVER_H
#define FAKEDRIVER_DRIVER_H

#include <stdbool.h>
#include <stddef.h>

/* Both the old and the new name of a function must exist as symbols, so the header's renaming
 * macros are switched off; only what the header declares is visible outside. */
#define NVML_NO_UNVERSIONED_FUNC_DEFS
#pragma GCC visibility push(default)
#include <nvml.h>
#pragma GCC visibility pop

#include "functions.h"
#include "ramp.h"
#include "state.h"

/* The tray of this process; null until the first successful init, never unmapped afterwards,
 * because a thread may still sleep inside a call when another one shuts the library down. */
extern struct fakeTray *fakeTray;

/* lifecycle.c */
bool fakeIsInitialised(void);
bool fakeIsCurrentGeneration(void);

/* gate.c */
nvmlReturn_t fakeEnter(enum fakeFunction function, bool arguments_ok);
nvmlReturn_t fakeEnterGpu(enum fakeFunction function, nvmlDevice_t device, bool arguments_ok,
                          struct fakeGpu **gpu);
nvmlReturn_t fakeCallError(enum fakeFunction function, const struct fakeGpu *gpu);
void fakeCount(enum fakeFunction function);
void fakeHang(const struct fakeGpu *gpu);
void fakeSleepNs(uint64_t ns);
void fakeDelayUs(uint64_t us);
uint64_t fakeWallUs(void);

/* handles.c */
nvmlDevice_t fakeHandleOf(unsigned int gpu);
bool fakeGpuOf(nvmlDevice_t device, unsigned int *gpu);
unsigned int fakeGpuIndex(const struct fakeGpu *gpu);
unsigned int fakePciId(const struct fakeGpu *gpu);

/* events.c, system_events.c, gpm.c: the last shutdown ends all sets and samples. */
void fakeDropEventSets(void);
void fakeDropSystemEventSets(void);
void fakeDropGpmSamples(void);

/* identity.c */
nvmlReturn_t fakeCopyText(const char *text, bool unterminated, char *out, unsigned int length);

/* readings.c */
uint64_t fakeEnergyNow(const struct fakeGpu *gpu);

/* noise.c: a power as measured just now. */
uint32_t fakeMeasured(const struct fakeGpu *gpu, uint32_t milliwatts);

/* fields.c: the integer a field holds now, or why it holds none. */
nvmlReturn_t fakeFieldInteger(const struct fakeGpu *gpu, unsigned int id, unsigned int scope,
                              unsigned long long *value);

#define ENTER(function, arguments_ok)                                                             \
    do {                                                                                          \
        nvmlReturn_t refused_ = fakeEnter(FN_##function, (arguments_ok));                         \
        if (refused_ != NVML_SUCCESS)                                                             \
            return refused_;                                                                      \
    } while (0)

/* Declares `gpu` in the calling function. */
#define ENTER_GPU(function, device, arguments_ok)                                                 \
    struct fakeGpu *gpu = NULL;                                                                   \
    do {                                                                                          \
        nvmlReturn_t refused_ = fakeEnterGpu(FN_##function, (device), (arguments_ok), &gpu);      \
        if (refused_ != NVML_SUCCESS)                                                             \
            return refused_;                                                                      \
    } while (0)

/* A call that returns one value of the GPU; a value read during a reload is not handed out. */
#define READ_ONE(function, type, expression)                                                      \
    nvmlReturn_t function(nvmlDevice_t device, type *value)                                       \
    {                                                                                             \
        ENTER_GPU(function, device, value != NULL);                                               \
        *value = (type)(expression);                                                              \
        return fakeIsCurrentGeneration() ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;               \
    }

#endif
