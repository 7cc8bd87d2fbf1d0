/*
 * Init and shutdown: mapping the state file, reference count, driver generation.
 *
 * The generation is remembered at the first init and compared by every later call, so a reload
 * of the driver invalidates the process until it has shut down and initialised again. It is odd
 * while a reload is under way, so nobody sees counters restart without a new init.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver.h"

#define RELOAD_LASTS_MS 1000 /* a test killed inside a reload must not hang its programs */

struct fakeTray *fakeTray;

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static unsigned int references;
static unsigned int generation;
static dev_t mapped_device;
static ino_t mapped_inode;

bool fakeIsInitialised(void)
{
    return __atomic_load_n(&references, __ATOMIC_ACQUIRE) > 0;
}

bool fakeIsCurrentGeneration(void)
{
    return __atomic_load_n(&fakeTray->generation, __ATOMIC_ACQUIRE) == generation;
}

static bool isOurLayout(const struct fakeTray *tray)
{
    return tray->magic == FAKE_MAGIC && tray->layout == FAKE_LAYOUT_HASH &&
           tray->size == sizeof(struct fakeTray);
}

/* Map anew only when the file is another one: the old mapping stays, see driver.h. */
static nvmlReturn_t mapFile(int file)
{
    struct stat status;

    if (fstat(file, &status) != 0)
        return NVML_ERROR_DRIVER_NOT_LOADED;
    if ((size_t)status.st_size < sizeof(struct fakeTray))
        return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    if (fakeTray != NULL && status.st_dev == mapped_device && status.st_ino == mapped_inode)
        return isOurLayout(fakeTray) ? NVML_SUCCESS : NVML_ERROR_LIB_RM_VERSION_MISMATCH;

    void *memory =
        mmap(NULL, sizeof(struct fakeTray), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED)
        return NVML_ERROR_MEMORY;
    if (!isOurLayout(memory)) {
        munmap(memory, sizeof(struct fakeTray));
        return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    }
    fakeTray = memory;
    mapped_device = status.st_dev;
    mapped_inode = status.st_ino;
    return NVML_SUCCESS;
}

static nvmlReturn_t mapState(void)
{
    const char *path = getenv(FAKE_STATE_ENV);
    int file = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;

    if (file < 0)
        return path != NULL && errno == EACCES ? NVML_ERROR_NO_PERMISSION
                                               : NVML_ERROR_DRIVER_NOT_LOADED;
    nvmlReturn_t result = mapFile(file);
    close(file);
    return result;
}

static bool anyGpuPresent(void)
{
    for (unsigned int i = 0; i < FAKE_GPUS; i++)
        if (!fakeTray->gpus[i].absent)
            return true;
    return false;
}

/* Init during a reload waits for its end, as it does for a driver that is still starting. */
static bool findGeneration(void)
{
    for (int waited_ms = 0; waited_ms < RELOAD_LASTS_MS; waited_ms++) {
        generation = __atomic_load_n(&fakeTray->generation, __ATOMIC_ACQUIRE);
        if (generation % 2 == 0)
            return true;
        fakeSleepNs(NS_PER_MS);
    }
    return false;
}

static nvmlReturn_t firstInit(unsigned int flags)
{
    nvmlReturn_t result = mapState();

    if (result != NVML_SUCCESS)
        return result;
    if (fakeTray->init_error != 0)
        return (nvmlReturn_t)fakeTray->init_error;
    if (!anyGpuPresent() && (flags & NVML_INIT_FLAG_NO_GPUS) == 0)
        return NVML_ERROR_GPU_NOT_FOUND;
    return findGeneration() ? NVML_SUCCESS : NVML_ERROR_DRIVER_NOT_LOADED;
}

static nvmlReturn_t initialise(enum fakeFunction function, unsigned int flags)
{
    nvmlReturn_t result = NVML_SUCCESS;

    pthread_mutex_lock(&guard);
    if (references == 0)
        result = firstInit(flags);
    if (result == NVML_SUCCESS)
        __atomic_add_fetch(&references, 1, __ATOMIC_RELEASE);
    if (fakeTray != NULL)
        fakeCount(function);
    pthread_mutex_unlock(&guard);
    return result;
}

nvmlReturn_t nvmlInit(void)
{
    return initialise(FN_nvmlInit, 0);
}

nvmlReturn_t nvmlInit_v2(void)
{
    return initialise(FN_nvmlInit_v2, 0);
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags)
{
    return initialise(FN_nvmlInitWithFlags, flags);
}

/* Allowed on a stale generation: it is the way out of it. */
nvmlReturn_t nvmlShutdown(void)
{
    nvmlReturn_t result = NVML_ERROR_UNINITIALIZED;

    pthread_mutex_lock(&guard);
    if (references > 0) {
        fakeCount(FN_nvmlShutdown);
        if (__atomic_sub_fetch(&references, 1, __ATOMIC_ACQ_REL) == 0) {
            fakeDropEventSets();
            fakeDropSystemEventSets();
            fakeDropGpmSamples();
        }
        result = NVML_SUCCESS;
    }
    pthread_mutex_unlock(&guard);
    return result;
}
