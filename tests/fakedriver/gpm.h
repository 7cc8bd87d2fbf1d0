/* Which activity metrics a GPU accumulates, and where each comes from. */
#ifndef FAKEDRIVER_GPM_H
#define FAKEDRIVER_GPM_H

#include <stdbool.h>
#include <stdint.h>

enum gpmSource {
    GPM_UNKNOWN,
    GPM_RATE,  /* set by a test: percent, or MiB/s */
    GPM_FIELD, /* a field that counts bytes */
    GPM_LINKS, /* such a field, summed over all NVLinks */
    GPM_LINK,  /* such a field of one NVLink */
};

struct gpmRow {
    enum gpmSource source;
    unsigned int field;
    unsigned int link;
};

/* The row of a metric id; GPM_UNKNOWN when this board does not have it. */
struct gpmRow fakeGpmRow(unsigned int metric);

#endif
