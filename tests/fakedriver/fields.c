/*
 * GetFieldValues: many values in one call, each with its own result.
 *
 * The order of decision for one entry: what a test set for this id and scope, then the field
 * table. A failed entry carries junk, as the interface leaves it undefined and a reader that
 * ignores the result must not find a plausible number.
 */
#include <string.h>

#include "field_table.h"

#define JUNK_BYTE 0xA5
#define FIELD_RECOVERY_ACTION 230u

/* A number of one of the two kinds that a state slot can hold. */
struct number {
    bool is_real;
    int64_t integer;
    double real;
};

static const struct fakeRamp *slotOf(const struct fakeGpu *gpu, unsigned int id, unsigned int scope)
{
    unsigned int column = scope == FIELD_ALL_LINKS ? FAKE_SCOPE_ALL : scope;

    return id < FAKE_FIELD_IDS && column < FAKE_SCOPES ? &gpu->fields[id][column] : NULL;
}

static struct number slotNumber(const struct fakeRamp *slot)
{
    struct number number = {.is_real = FAKE_SLOT_KIND(slot->tag) == FAKE_SLOT_REAL};
    uint64_t now = driverNs(fakeTray);

    if (number.is_real) {
        memcpy(&number.real, &slot->base, sizeof(number.real));
        number.real += rampGrowth(slot, now);
    } else {
        number.integer = (int64_t)rampCount(slot, now);
    }
    return number;
}

static nvmlReturn_t rowNumber(const struct fieldRow *row, const struct fakeGpu *gpu,
                              unsigned int id, unsigned int scope, struct number *number)
{
    nvmlReturn_t answered = fakeFieldScope(row, scope);

    if (answered != NVML_SUCCESS)
        return answered;
    if (row->access == ACCESS_ROOT && !fakeTray->privileged)
        return NVML_ERROR_NO_PERMISSION;
    number->integer = row->constant;
    return row->read != NULL ? row->read(gpu, id, scope, &number->integer) : NVML_SUCCESS;
}

/* A slot may give a value to an id that the table does not know, so tests can model new drivers. */
static nvmlReturn_t findNumber(const struct fakeGpu *gpu, unsigned int id, unsigned int scope,
                               nvmlValueType_t *type, struct number *number)
{
    const struct fieldRow *row = fakeFieldRow(id);
    const struct fakeRamp *place = slotOf(gpu, id, scope);
    struct fakeRamp slot = place != NULL ? rampSnapshot(place) : (struct fakeRamp){0};

    *type = row != NULL ? row->type : NVML_VALUE_TYPE_UNSIGNED_LONG_LONG;
    if (FAKE_SLOT_KIND(slot.tag) == FAKE_SLOT_ERROR)
        return (nvmlReturn_t)slot.base;
    if (FAKE_SLOT_KIND(slot.tag) != FAKE_SLOT_DEFAULT) {
        if (FAKE_SLOT_TYPE_PLUS_ONE(slot.tag) != 0)
            *type = (nvmlValueType_t)(FAKE_SLOT_TYPE_PLUS_ONE(slot.tag) - 1);
        *number = slotNumber(&slot);
        return NVML_SUCCESS;
    }
    return row != NULL ? rowNumber(row, gpu, id, scope, number) : NVML_ERROR_NOT_SUPPORTED;
}

static double asReal(struct number number)
{
    return number.is_real ? number.real : (double)number.integer;
}

static int64_t asInteger(struct number number)
{
    return number.is_real ? (int64_t)number.real : number.integer;
}

/* Writes only the member of the type: the rest of the union keeps junk, as it may. */
static void store(nvmlValue_t *value, nvmlValueType_t type, struct number number)
{
    switch (type) {
    case NVML_VALUE_TYPE_DOUBLE:
        value->dVal = asReal(number);
        break;
    case NVML_VALUE_TYPE_UNSIGNED_INT:
        value->uiVal = (unsigned int)asInteger(number);
        break;
    case NVML_VALUE_TYPE_UNSIGNED_LONG:
        value->ulVal = (unsigned long)asInteger(number);
        break;
    case NVML_VALUE_TYPE_SIGNED_INT:
        value->siVal = (int)asInteger(number);
        break;
    case NVML_VALUE_TYPE_UNSIGNED_SHORT:
        value->usVal = (unsigned short)asInteger(number);
        break;
    default:
        value->sllVal = asInteger(number);
        break;
    }
}

nvmlReturn_t fakeFieldInteger(const struct fakeGpu *gpu, unsigned int id, unsigned int scope,
                              unsigned long long *value)
{
    nvmlValueType_t type;
    struct number number = {0};
    nvmlReturn_t result = findNumber(gpu, id, scope, &type, &number);

    if (result == NVML_SUCCESS)
        *value = (unsigned long long)asInteger(number);
    return result;
}

static void fillEntry(const struct fakeGpu *gpu, nvmlFieldValue_t *entry, nvmlReturn_t imposed)
{
    struct number number = {0};

    fakeDelayUs(fakeTray->field_latency_us);
    memset(&entry->value, JUNK_BYTE, sizeof(entry->value));
    entry->timestamp = (long long)fakeWallUs();
    entry->latencyUsec = fakeTray->field_latency_us;
    entry->nvmlReturn = findNumber(gpu, entry->fieldId, entry->scopeId, &entry->valueType, &number);
    if (imposed != NVML_SUCCESS)
        entry->nvmlReturn = imposed;
    if (entry->nvmlReturn == NVML_SUCCESS)
        store(&entry->value, entry->valueType, number);
}

static bool isEcc(unsigned int id)
{
    return id >= 3 && id <= 28;
}

static bool isNvlinkCount(unsigned int id)
{
    return id >= 201 && id <= 222;
}

/* The reported defect of a related board: the two groups in one batch spoil all of it. */
static bool isSpoiltBatch(const nvmlFieldValue_t *values, int count)
{
    bool ecc = false;
    bool nvlink = false;

    for (int i = 0; i < count; i++) {
        ecc = ecc || isEcc(values[i].fieldId);
        nvlink = nvlink || isNvlinkCount(values[i].fieldId);
    }
    return fakeTray->quirk_mixed_batch && ecc && nvlink;
}

/* A GPU that needs a reset still tells so through the recovery action, and nothing else. */
static nvmlReturn_t imposedError(const nvmlFieldValue_t *entry, bool needs_reset, bool spoilt)
{
    if (needs_reset && entry->fieldId != FIELD_RECOVERY_ACTION)
        return NVML_ERROR_RESET_REQUIRED;
    return spoilt ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS;
}

static void fillEntries(const struct fakeGpu *gpu, int count, nvmlFieldValue_t *values, bool needs_reset)
{
    bool spoilt = isSpoiltBatch(values, count);

    for (int i = 0; i < count; i++)
        fillEntry(gpu, &values[i], imposedError(&values[i], needs_reset, spoilt));
    if (fakeTray->quirk_overread)
        memset(&values[count], JUNK_BYTE, sizeof(values[count]));
}

/* Calls of one process that overlap: callers are expected to serialise them. */
static unsigned int inside;

static void enterFieldCalls(void)
{
    unsigned int now_inside = __atomic_add_fetch(&inside, 1, __ATOMIC_ACQ_REL);

    if (now_inside > 1)
        __atomic_add_fetch(&fakeTray->field_calls_overlapping, 1, __ATOMIC_RELAXED);
}

static nvmlReturn_t fieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values)
{
    struct fakeGpu *gpu = NULL;
    nvmlReturn_t refused = fakeEnterGpu(FN_nvmlDeviceGetFieldValues, device,
                                        values != NULL && count > 0, &gpu);
    bool needs_reset = gpu != NULL && refused == NVML_ERROR_RESET_REQUIRED;

    if (refused != NVML_SUCCESS && !needs_reset)
        return refused;
    fillEntries(gpu, count, values, needs_reset);
    return fakeIsCurrentGeneration() ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int valuesCount,
                                      nvmlFieldValue_t *values)
{
    if (!fakeIsInitialised())
        return NVML_ERROR_UNINITIALIZED;
    enterFieldCalls();
    nvmlReturn_t result = fieldValues(device, valuesCount, values);
    __atomic_sub_fetch(&inside, 1, __ATOMIC_ACQ_REL);
    return result;
}
