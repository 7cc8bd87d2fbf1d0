/*
 * The metrics that this board accumulates.
 *
 * Traffic comes from the byte counters that GetFieldValues shows, so both doors agree. Ids that are
 * not here (codecs, cache hits, context switches) answer NOT_SUPPORTED each for itself.
 */
#include "gpm.h"

#include <stddef.h>

#include "field_ids.h"

struct gpmRange {
    unsigned int first;
    unsigned int last;
    enum gpmSource source;
    unsigned int field;
};

static const struct gpmRange ranges[] = {
    {1, 13, GPM_RATE, 0}, /* graphics, SM, occupancy, integer, tensor, DRAM, floating point */
    {20, 20, GPM_FIELD, FIELD_PCIE_SENT},
    {21, 21, GPM_FIELD, FIELD_PCIE_RECEIVED},
    {60, 60, GPM_LINKS, FIELD_LINK_RECEIVED},
    {61, 61, GPM_LINKS, FIELD_LINK_SENT},
    {100, 103, GPM_RATE, 0}, /* C2C */
};

/* The links follow one another, received before sent. */
#define LINK_FIRST 62u
#define LINK_LAST 97u

static struct gpmRow linkRow(unsigned int position)
{
    return (struct gpmRow){GPM_LINK, position % 2 == 0 ? FIELD_LINK_RECEIVED : FIELD_LINK_SENT,
                           position / 2};
}

struct gpmRow fakeGpmRow(unsigned int metric)
{
    if (metric >= LINK_FIRST && metric <= LINK_LAST)
        return linkRow(metric - LINK_FIRST);
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        if (metric >= ranges[i].first && metric <= ranges[i].last)
            return (struct gpmRow){ranges[i].source, ranges[i].field, 0};
    return (struct gpmRow){GPM_UNKNOWN, 0, 0};
}
