/*
 * The throttle counters: fields 74 to 81, 269 to 271 and 309, and the mask bits that drive them.
 *
 * A field without a reason never advances by itself: the clock-event mask has no bit for it.
 */
#include "throttle.h"

#include "state.h"

#define REASON_SW_POWER_CAP 0x4u
#define REASON_SYNC_BOOST 0x10u
#define REASON_SW_THERMAL 0x20u
#define REASON_HW_THERMAL 0x40u
#define REASON_POWER_BRAKE 0x80u
#define REASON_BOARD_LIMIT 0x200u
#define REASON_RELIABILITY 0x400u

const struct fakeThrottle fakeThrottles[] = {
    {74, REASON_SW_POWER_CAP},
    {75, REASON_SW_THERMAL | REASON_HW_THERMAL},
    {76, REASON_SYNC_BOOST},
    {77, REASON_BOARD_LIMIT},
    {78, 0},
    {79, REASON_RELIABILITY},
    {80, 0},
    {81, 0},
    {269, REASON_SW_THERMAL},
    {270, REASON_HW_THERMAL},
    {271, REASON_POWER_BRAKE},
    {309, 0},
};

const unsigned int fakeThrottleCount = sizeof(fakeThrottles) / sizeof(fakeThrottles[0]);

_Static_assert(sizeof(fakeThrottles) / sizeof(fakeThrottles[0]) <= FAKE_THROTTLES,
               "the state holds one counter per row");

unsigned int fakeThrottlePosition(uint32_t field)
{
    unsigned int row = 0;

    while (row + 1 < fakeThrottleCount && fakeThrottles[row].field != field)
        row++;
    return row;
}
