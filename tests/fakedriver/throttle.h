/* Which clock-event reason makes which nanosecond counter advance. */
#ifndef FAKEDRIVER_THROTTLE_H
#define FAKEDRIVER_THROTTLE_H

#include <stdint.h>

struct fakeThrottle {
    uint32_t field;
    uint64_t reasons;
};

extern const struct fakeThrottle fakeThrottles[];
extern const unsigned int fakeThrottleCount;

/* The row of a throttle field; the field must be in the table. */
unsigned int fakeThrottlePosition(uint32_t field);

#endif
