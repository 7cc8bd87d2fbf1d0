/*
 * The control library: what a test process calls to write the state file.
 *
 * It names members by text and owns every offset, so Python holds no copy of the layout. Its
 * functions return 0, or -1 when a name or position does not exist; the caller raises.
 */
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.h"
#include "event_ring.h"
#include "functions.h"

#define TRAY_ITSELF (-1)

enum kind { KIND_u8, KIND_u32, KIND_i32, KIND_u64, KIND_text };

struct member {
    const char *name;
    size_t offset;
    size_t count;
    enum kind kind;
};

#define TRAY_ONE(kind, name) {#name, offsetof(struct fakeTray, name), 1, KIND_##kind},
#define TRAY_MANY(kind, name, count) {#name, offsetof(struct fakeTray, name), count, KIND_##kind},
#define GPU_ONE(kind, name) {#name, offsetof(struct fakeGpu, name), 1, KIND_##kind},
#define GPU_MANY(kind, name, count) {#name, offsetof(struct fakeGpu, name), count, KIND_##kind},

static const struct member tray_members[] = {FAKE_TRAY_MEMBERS(TRAY_ONE, TRAY_MANY)};
static const struct member gpu_members[] = {FAKE_GPU_MEMBERS(GPU_ONE, GPU_MANY)};

static struct fakeTray *mapFile(int file)
{
    void *memory =
        mmap(NULL, sizeof(struct fakeTray), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

    close(file);
    return memory != MAP_FAILED ? memory : NULL;
}

/* A new state file, all zero but for the marks that say which layout it has. */
EXPORT struct fakeTray *controlCreate(const char *path)
{
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (file < 0 || ftruncate(file, sizeof(struct fakeTray)) != 0)
        return NULL;
    struct fakeTray *tray = mapFile(file);
    if (tray != NULL) {
        tray->magic = FAKE_MAGIC;
        tray->size = sizeof(struct fakeTray);
        tray->layout = FAKE_LAYOUT_HASH;
    }
    return tray;
}

/* Null when the file is missing or has another layout. */
EXPORT struct fakeTray *controlOpen(const char *path)
{
    struct stat status;
    int file = open(path, O_RDWR | O_CLOEXEC);

    if (file < 0 || fstat(file, &status) != 0 || status.st_size != sizeof(struct fakeTray))
        return NULL;
    struct fakeTray *tray = mapFile(file);
    if (tray == NULL || (tray->magic == FAKE_MAGIC && tray->layout == FAKE_LAYOUT_HASH))
        return tray;
    munmap(tray, sizeof(struct fakeTray));
    return NULL;
}

EXPORT void controlClose(struct fakeTray *tray)
{
    munmap(tray, sizeof(struct fakeTray));
}

EXPORT unsigned int controlGpuCount(void)
{
    return FAKE_GPUS;
}

struct fakeGpu *controlGpu(struct fakeTray *tray, int gpu)
{
    return gpu >= 0 && (unsigned int)gpu < FAKE_GPUS ? &tray->gpus[gpu] : NULL;
}

static const struct member *findMember(const struct member *members, size_t count,
                                       const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(members[i].name, name) == 0)
            return &members[i];
    return NULL;
}

/* The member of the tray (gpu is -1) or of a GPU, and where it lies. */
static const struct member *locate(struct fakeTray *tray, int gpu, const char *name, char **where)
{
    const struct member *found;

    if (gpu == TRAY_ITSELF) {
        found = findMember(tray_members, sizeof(tray_members) / sizeof(tray_members[0]), name);
        *where = (char *)tray;
    } else {
        found = findMember(gpu_members, sizeof(gpu_members) / sizeof(gpu_members[0]), name);
        *where = (char *)controlGpu(tray, gpu);
    }
    if (found == NULL || *where == NULL)
        return NULL;
    *where += found->offset;
    return found;
}

EXPORT int controlSetNumber(struct fakeTray *tray, int gpu, const char *name, unsigned int index,
                            int64_t value)
{
    char *where;
    const struct member *member = locate(tray, gpu, name, &where);

    if (member == NULL || index >= member->count)
        return -1;
    switch (member->kind) {
    case KIND_u32:
    case KIND_i32:
        __atomic_store_n((uint32_t *)where + index, (uint32_t)value, __ATOMIC_RELEASE);
        return 0;
    case KIND_u64:
        __atomic_store_n((uint64_t *)where + index, (uint64_t)value, __ATOMIC_RELEASE);
        return 0;
    default:
        return -1;
    }
}

EXPORT int controlGetNumber(struct fakeTray *tray, int gpu, const char *name, unsigned int index,
                            int64_t *value)
{
    char *where;
    const struct member *member = locate(tray, gpu, name, &where);

    if (member == NULL || index >= member->count)
        return -1;
    switch (member->kind) {
    case KIND_u32:
        *value = ((uint32_t *)where)[index];
        return 0;
    case KIND_i32:
        *value = ((int32_t *)where)[index];
        return 0;
    case KIND_u64:
        *value = (int64_t)((uint64_t *)where)[index];
        return 0;
    default:
        return -1;
    }
}

/* Fill a text or byte member; the rest of it becomes zero, and text keeps its end mark. */
EXPORT int controlSetBytes(struct fakeTray *tray, int gpu, const char *name, const char *bytes,
                           size_t length)
{
    char *where;
    const struct member *member = locate(tray, gpu, name, &where);

    if (member == NULL || (member->kind != KIND_text && member->kind != KIND_u8))
        return -1;
    if (length > member->count - (member->kind == KIND_text))
        return -1;
    memset(where, 0, member->count);
    memcpy(where, bytes, length);
    return 0;
}

EXPORT int controlGetBytes(struct fakeTray *tray, int gpu, const char *name, char *bytes,
                           size_t length)
{
    char *where;
    const struct member *member = locate(tray, gpu, name, &where);

    if (member == NULL || (member->kind != KIND_text && member->kind != KIND_u8) ||
        member->count > length)
        return -1;
    memcpy(bytes, where, member->count);
    return (int)member->count;
}

/* Position of a function in `calls` and `call_error`, or -1. */
EXPORT int controlFunction(const char *name)
{
    for (int i = 0; i < FN_COUNT; i++)
        if (strcmp(fakeFunctionNames[i], name) == 0)
            return i;
    return -1;
}

EXPORT const char *controlFunctionName(int function)
{
    return function >= 0 && function < FN_COUNT ? fakeFunctionNames[function] : NULL;
}

EXPORT int controlSetProcess(struct fakeTray *tray, int gpu, unsigned int index, uint32_t pid,
                             uint64_t used_bytes)
{
    struct fakeGpu *target = controlGpu(tray, gpu);

    if (target == NULL || index >= FAKE_PROCESSES)
        return -1;
    target->processes[index] = (struct fakeProcess){.pid = pid, .used_bytes = used_bytes};
    return 0;
}

EXPORT int controlPushEvent(struct fakeTray *tray, int gpu, int is_system, uint64_t type,
                            uint64_t data)
{
    if (controlGpu(tray, gpu) == NULL)
        return -1;
    ringPush(tray, &(struct fakeEvent){.gpu = (uint32_t)gpu,
                                       .is_system = is_system != 0,
                                       .type = type,
                                       .data = data});
    return 0;
}

EXPORT void controlWake(struct fakeTray *tray)
{
    ringWake(tray);
}
