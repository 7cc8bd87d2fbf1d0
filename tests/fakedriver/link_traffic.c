/*
 * NVLink traffic: bytes are what a test sets, packets and KiB follow from them.
 *
 * Raw and data counters are the same, since no overhead is published; the packet size is invented.
 */
#include "link_traffic.h"

#define BYTES_PER_KIB 1024u
#define BYTES_PER_PACKET 128u

nvmlReturn_t fakeLinkBytes(const struct fakeGpu *gpu, unsigned int field, unsigned int scope,
                           uint64_t *bytes)
{
    unsigned int first = scope == FIELD_ALL_LINKS ? 0 : scope;
    unsigned int end = scope == FIELD_ALL_LINKS ? FIELD_LINKS : scope + 1;
    nvmlReturn_t result = NVML_SUCCESS;

    *bytes = 0;
    for (unsigned int link = first; result == NVML_SUCCESS && link < end; link++) {
        unsigned long long count = 0;
        result = fakeFieldInteger(gpu, field, link, &count);
        *bytes += count;
    }
    return result;
}

static nvmlReturn_t divided(const struct fakeGpu *gpu, bool sent, unsigned int scope,
                            unsigned int divisor, int64_t *value)
{
    uint64_t bytes;
    nvmlReturn_t result =
        fakeLinkBytes(gpu, sent ? FIELD_LINK_SENT : FIELD_LINK_RECEIVED, scope, &bytes);

    *value = (int64_t)(bytes / divisor);
    return result;
}

/* Sent and received alternate, data before raw. */
nvmlReturn_t fakeLinkKib(const struct fakeGpu *gpu, unsigned int id, unsigned int scope,
                         int64_t *value)
{
    return divided(gpu, id % 2 == 0, scope, BYTES_PER_KIB, value);
}

nvmlReturn_t fakeLinkPackets(const struct fakeGpu *gpu, unsigned int id, unsigned int scope,
                             int64_t *value)
{
    return divided(gpu, id < FIELD_LINK_SENT, scope, BYTES_PER_PACKET, value);
}
