/* The table of field descriptors: one row says all that is known about a field id. */
#ifndef FAKEDRIVER_FIELD_TABLE_H
#define FAKEDRIVER_FIELD_TABLE_H

#include <stdint.h>

#include "driver.h"

/* What the scope id of a field means, which decides the ids that are valid. */
enum fieldScope {
    SCOPE_NONE,
    SCOPE_POWER,         /* GPU, module */
    SCOPE_POWER_AVERAGE, /* GPU, module, memory */
    SCOPE_NVLINK,
    SCOPE_NVLINK_OR_ALL, /* one link or the sum of all */
    SCOPE_C2C,
    SCOPE_PCIE_LANE,
    SCOPE_PROFILE,
};

enum fieldAccess { ACCESS_ALL, ACCESS_ROOT };

#define FIELD_ALL_LINKS 0xFFFFFFFFu
#define FIELD_LINKS 18u

typedef nvmlReturn_t (*fieldReader)(const struct fakeGpu *gpu, unsigned int id, unsigned int scope,
                                    int64_t *value);

/* A row covers the ids first to last; without a reader every id and scope answers `constant`. */
struct fieldRow {
    uint16_t first;
    uint16_t last;
    nvmlValueType_t type;
    enum fieldScope scope;
    enum fieldAccess access;
    int64_t constant;
    fieldReader read;
};

/* Null for an id that this driver does not know. */
const struct fieldRow *fakeFieldRow(unsigned int id);

/* Whether the row answers for a scope: yes, not on this board, or not a scope of it at all. */
nvmlReturn_t fakeFieldScope(const struct fieldRow *row, unsigned int scope);

#endif
