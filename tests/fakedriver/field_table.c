/*
 * Every field id the simulated driver answers, with its value on a healthy, idle GB300.
 *
 * An id that is not here answers NOT_SUPPORTED: that holds for retired pages, for the per-lane
 * NVLink counters of older generations and for deprecated counters. Values marked "invented" have
 * no published reference; do not read anything into them.
 */
#include "field_table.h"

#include "link_traffic.h"
#include "throttle.h"

#define C2C_LINKS 14u
#define PCIE_LANES 16u
#define PROFILES 5u

#define NVLINK_5 7
#define NVLINK_MBPS 53125
#define BER_NO_ERRORS 0xFFF /* mantissa 15, exponent 255 */

#define U32 NVML_VALUE_TYPE_UNSIGNED_INT
#define U64 NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
#define S32 NVML_VALUE_TYPE_SIGNED_INT
#define F64 NVML_VALUE_TYPE_DOUBLE

#define READER(name, expression)                                                                  \
    static nvmlReturn_t name(const struct fakeGpu *gpu, unsigned int id, unsigned int scope,      \
                             int64_t *value)                                                      \
    {                                                                                             \
        (void)gpu;                                                                                \
        (void)id;                                                                                 \
        (void)scope;                                                                              \
        *value = (int64_t)(expression);                                                           \
        return NVML_SUCCESS;                                                                      \
    }

static uint32_t averagePower(const struct fakeGpu *gpu, unsigned int scope)
{
    if (scope == NVML_POWER_SCOPE_MEMORY)
        return fakeMeasured(gpu, gpu->memory_average_mw);
    return fakeMeasured(gpu, scope == NVML_POWER_SCOPE_GPU ? gpu->power_average_mw
                                                           : gpu->module_average_mw);
}

static uint32_t instantPower(const struct fakeGpu *gpu, unsigned int scope)
{
    return fakeMeasured(gpu, scope == NVML_POWER_SCOPE_GPU ? gpu->power_instant_mw
                                                           : gpu->module_instant_mw);
}

READER(powerInstant, instantPower(gpu, scope))
READER(limitMin, gpu->limit_min_mw[scope])
READER(limitMax, gpu->limit_max_mw[scope])
READER(limitDefault, gpu->limit_default_mw[scope])
READER(limitCurrent, gpu->limit_current_mw[scope])
READER(limitRequested, gpu->limit_requested_mw[scope])
READER(energy, fakeEnergyNow(gpu))
READER(temperature, gpu->temperature_c)
READER(memoryTemperature, gpu->memory_temperature_c)
READER(recoveryAction, gpu->recovery_action)
READER(remoteLink, scope)

READER(powerAverage, averagePower(gpu, scope))
READER(throttleTime, rampValue(&gpu->throttle_ns[fakeThrottlePosition(id)], driverNs(fakeTray)))

static const struct fieldRow rows[] = {
    /* ECC */
    {1, 2, U32, SCOPE_NONE, ACCESS_ALL, 1, NULL},
    {3, 28, U64, SCOPE_NONE, ACCESS_ALL, 0, NULL},
    /* memory temperature and energy */
    {82, 82, U32, SCOPE_NONE, ACCESS_ALL, 0, memoryTemperature},
    {83, 83, U64, SCOPE_NONE, ACCESS_ALL, 0, energy},
    {191, 191, U64, SCOPE_NONE, ACCESS_ALL, 0, energy},
    /* power; 274 is a percentage, the two before it are not used by anyone */
    {185, 185, U32, SCOPE_POWER_AVERAGE, ACCESS_ALL, 0, powerAverage},
    {186, 186, U32, SCOPE_POWER, ACCESS_ALL, 0, powerInstant},
    {187, 187, U32, SCOPE_POWER, ACCESS_ALL, 0, limitMin},
    {188, 188, U32, SCOPE_POWER, ACCESS_ALL, 0, limitMax},
    {189, 189, U32, SCOPE_POWER, ACCESS_ALL, 0, limitDefault},
    {190, 190, U32, SCOPE_POWER, ACCESS_ALL, 0, limitCurrent},
    {192, 192, U32, SCOPE_POWER, ACCESS_ALL, 0, limitRequested},
    {272, 273, U64, SCOPE_NONE, ACCESS_ALL, 0, NULL},
    {274, 274, U32, SCOPE_NONE, ACCESS_ALL, 100, NULL},
    /* nanoseconds of throttling, see throttle.c */
    {74, 81, U64, SCOPE_NONE, ACCESS_ALL, 0, throttleTime},
    {269, 271, U64, SCOPE_NONE, ACCESS_ALL, 0, throttleTime},
    {309, 309, U64, SCOPE_NONE, ACCESS_ALL, 0, throttleTime},
    /* distances to the limit, and the temperature as a real number */
    {193, 193, S32, SCOPE_NONE, ACCESS_ALL, -5, NULL},
    {194, 194, S32, SCOPE_NONE, ACCESS_ALL, -2, NULL},
    {195, 196, S32, SCOPE_NONE, ACCESS_ALL, 0, NULL},
    {308, 308, F64, SCOPE_NONE, ACCESS_ALL, 0, temperature},
    /* row and bank remapping; the histogram of 305 is invented */
    {142, 145, U32, SCOPE_NONE, ACCESS_ALL, 0, NULL},
    {301, 304, U32, SCOPE_NONE, ACCESS_ALL, 0, NULL},
    {305, 305, U32, SCOPE_NONE, ACCESS_ALL, 64, NULL},
    {306, 307, U32, SCOPE_NONE, ACCESS_ALL, 0, NULL},
    /* recovery: the two old flags and the action */
    {226, 227, U32, SCOPE_NONE, ACCESS_ALL, 0, NULL},
    {230, 230, U32, SCOPE_NONE, ACCESS_ALL, 0, recoveryAction},
    {184, 184, U32, SCOPE_NONE, ACCESS_ALL, 1, NULL},
    {199, 199, U32, SCOPE_NONE, ACCESS_ALL, 1, NULL},
    /* NVLink: topology and state; low-power thresholds are invented */
    {91, 91, U32, SCOPE_NONE, ACCESS_ALL, FIELD_LINKS, NULL},
    {146, 146, U32, SCOPE_NVLINK, ACCESS_ALL, 0, remoteLink},
    {147, 147, U32, SCOPE_NONE, ACCESS_ALL, FIELD_LINKS, NULL},
    {164, 164, U32, SCOPE_NVLINK, ACCESS_ALL, NVLINK_MBPS, NULL},
    {165, 165, U32, SCOPE_NVLINK, ACCESS_ALL, 1, NULL},
    {166, 166, U32, SCOPE_NVLINK, ACCESS_ALL, NVLINK_5, NULL},
    {167, 167, U32, SCOPE_NVLINK, ACCESS_ALL, 0, NULL},
    {168, 168, U32, SCOPE_NVLINK, ACCESS_ALL, 100, NULL},
    {200, 200, U32, SCOPE_NONE, ACCESS_ALL, 8191, NULL},
    {223, 223, U32, SCOPE_NONE, ACCESS_ALL, 1, NULL},
    {224, 225, U32, SCOPE_NONE, ACCESS_ALL, 1, NULL},
    {296, 296, U32, SCOPE_NVLINK, ACCESS_ALL, NVLINK_MBPS, NULL},
    /* NVLink: traffic, errors, error rates, retransmission */
    {138, 141, U64, SCOPE_NVLINK_OR_ALL, ACCESS_ALL, 0, fakeLinkKib},
    {201, 201, U64, SCOPE_NVLINK, ACCESS_ALL, 0, fakeLinkPackets},
    {202, 202, U64, SCOPE_NVLINK, ACCESS_ALL, 0, NULL},
    {203, 203, U64, SCOPE_NVLINK, ACCESS_ALL, 0, fakeLinkPackets},
    {204, 204, U64, SCOPE_NVLINK, ACCESS_ALL, 0, NULL},
    {206, 215, U64, SCOPE_NVLINK, ACCESS_ALL, 0, NULL},
    {219, 219, U64, SCOPE_NVLINK, ACCESS_ALL, 0, NULL},
    {220, 220, U64, SCOPE_NVLINK, ACCESS_ALL, BER_NO_ERRORS, NULL},
    {221, 221, U64, SCOPE_NVLINK, ACCESS_ALL, 0, NULL},
    {222, 222, U64, SCOPE_NVLINK, ACCESS_ALL, BER_NO_ERRORS, NULL},
    {235, 250, U64, SCOPE_NVLINK, ACCESS_ALL, 0, NULL},
    {289, 290, U64, SCOPE_NVLINK, ACCESS_ALL, 0, NULL},
    {291, 293, U64, SCOPE_NVLINK, ACCESS_ALL, BER_NO_ERRORS, NULL},
    {294, 295, U64, SCOPE_NVLINK, ACCESS_ALL, 0, NULL},
    /* C2C; the bandwidth is invented */
    {170, 170, U32, SCOPE_NONE, ACCESS_ALL, C2C_LINKS, NULL},
    {171, 171, U32, SCOPE_C2C, ACCESS_ALL, 1, NULL},
    {172, 172, U32, SCOPE_C2C, ACCESS_ALL, 44712, NULL},
    {231, 233, U64, SCOPE_C2C, ACCESS_ALL, 0, NULL},
    {234, 234, U32, SCOPE_C2C, ACCESS_ALL, 0, NULL},
    /* PCIe */
    {94, 95, U32, SCOPE_NONE, ACCESS_ALL, 0, NULL},
    {169, 169, U32, SCOPE_NONE, ACCESS_ALL, 0, NULL},
    {173, 182, U32, SCOPE_NONE, ACCESS_ALL, 0, NULL},
    {183, 183, U32, SCOPE_PCIE_LANE, ACCESS_ALL, 0, NULL},
    {197, 198, U64, SCOPE_NONE, ACCESS_ALL, 0, NULL},
    /* power smoothing: forbidden without root; the values behind that are invented */
    {251, 257, U32, SCOPE_NONE, ACCESS_ROOT, 0, NULL},
    {258, 258, U32, SCOPE_NONE, ACCESS_ROOT, 100, NULL},
    {259, 259, U32, SCOPE_NONE, ACCESS_ROOT, PROFILES, NULL},
    {260, 263, U32, SCOPE_PROFILE, ACCESS_ROOT, 0, NULL},
    {264, 268, U32, SCOPE_NONE, ACCESS_ROOT, 0, NULL},
    {275, 280, U32, SCOPE_NONE, ACCESS_ROOT, 0, NULL},
    {281, 284, U32, SCOPE_PROFILE, ACCESS_ROOT, 0, NULL},
    {285, 288, U32, SCOPE_NONE, ACCESS_ROOT, 0, NULL},
    {300, 300, U32, SCOPE_NONE, ACCESS_ROOT, 0, NULL},
};

static const struct fieldRow *row_of[FAKE_FIELD_IDS];

__attribute__((constructor)) static void indexRows(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (unsigned int id = rows[i].first; id <= rows[i].last; id++)
            row_of[id] = &rows[i];
}

const struct fieldRow *fakeFieldRow(unsigned int id)
{
    return id < FAKE_FIELD_IDS ? row_of[id] : NULL;
}

static nvmlReturn_t below(unsigned int scope, unsigned int count)
{
    return scope < count ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

/* A power scope that exists but has no such reading is "not supported", not a mistake. */
static nvmlReturn_t powerScope(unsigned int scope, unsigned int last)
{
    if (scope <= last)
        return NVML_SUCCESS;
    return scope < NVML_POWER_SCOPE_COUNT ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t fakeFieldScope(const struct fieldRow *row, unsigned int scope)
{
    switch (row->scope) {
    case SCOPE_POWER:
        return powerScope(scope, NVML_POWER_SCOPE_MODULE);
    case SCOPE_POWER_AVERAGE:
        return powerScope(scope, NVML_POWER_SCOPE_MEMORY);
    case SCOPE_NVLINK:
        return below(scope, FIELD_LINKS);
    case SCOPE_NVLINK_OR_ALL:
        return scope == FIELD_ALL_LINKS ? NVML_SUCCESS : below(scope, FIELD_LINKS);
    case SCOPE_C2C:
        return below(scope, C2C_LINKS);
    case SCOPE_PCIE_LANE:
        return below(scope, PCIE_LANES);
    case SCOPE_PROFILE:
        return below(scope, PROFILES);
    case SCOPE_NONE:
        break;
    }
    return below(scope, 1);
}
