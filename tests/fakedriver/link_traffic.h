/* Link counters that follow from the byte counters of the same link. */
#ifndef FAKEDRIVER_LINK_TRAFFIC_H
#define FAKEDRIVER_LINK_TRAFFIC_H

#include "field_ids.h"
#include "field_table.h"

/* The bytes of one link, or of all for FIELD_ALL_LINKS; of the first error, that error. */
nvmlReturn_t fakeLinkBytes(const struct fakeGpu *gpu, unsigned int field, unsigned int scope,
                           uint64_t *bytes);

/* Fields 138 to 141, and 201 and 203. */
nvmlReturn_t fakeLinkKib(const struct fakeGpu *gpu, unsigned int id, unsigned int scope,
                         int64_t *value);
nvmlReturn_t fakeLinkPackets(const struct fakeGpu *gpu, unsigned int id, unsigned int scope,
                             int64_t *value);

#endif
