/*
 * The control library, counters: fields, energy, throttle times and activity, which advance by
 * themselves and must keep what they counted when their rate changes.
 *
 * Functions return 0, or -1 when a GPU or position does not exist.
 */
#include "control.h"
#include "gpm.h"
#include "ramp.h"
#include "throttle.h"

#define ALL_LINKS 0xFFFFFFFFu

/* `scope` is the scope id of the field, 0xFFFFFFFF for the sum of all links. */
EXPORT int controlSetField(struct fakeTray *tray, int gpu, unsigned int id, unsigned int scope,
                           uint32_t kind, uint32_t type_plus_one, uint64_t bits, double rate)
{
    unsigned int column = scope == ALL_LINKS ? FAKE_SCOPE_ALL : scope;
    struct fakeGpu *target = controlGpu(tray, gpu);

    if (target == NULL || id >= FAKE_FIELD_IDS || column >= FAKE_SCOPES)
        return -1;
    rampWrite(&target->fields[id][column], FAKE_SLOT_TAG(kind, type_plus_one), bits, rate,
              driverNs(tray));
    return 0;
}

/*
 * Add to a counter and set how fast it goes on; what was counted stays. A field that answered its
 * default or an error begins at zero.
 */
EXPORT int controlCountField(struct fakeTray *tray, int gpu, unsigned int id, unsigned int scope,
                             int64_t more, double rate)
{
    struct fakeGpu *target = controlGpu(tray, gpu);
    uint64_t now = driverNs(tray);

    if (target == NULL || id >= FAKE_FIELD_IDS || scope >= FAKE_SCOPES)
        return -1;
    struct fakeRamp *slot = &target->fields[id][scope];
    bool counts = FAKE_SLOT_KIND(slot->tag) == FAKE_SLOT_INTEGER;
    rampWrite(slot, FAKE_SLOT_TAG(FAKE_SLOT_INTEGER, counts ? FAKE_SLOT_TYPE_PLUS_ONE(slot->tag) : 0),
              (counts ? rampValue(slot, now) : 0) + (uint64_t)more, rate, now);
    return 0;
}

EXPORT int controlRestartUptime(struct fakeTray *tray, int gpu)
{
    struct fakeGpu *target = controlGpu(tray, gpu);

    if (target == NULL)
        return -1;
    rampWrite(&target->uptime_s, 0, 0, 1.0, driverNs(tray));
    return 0;
}

/* Remember the step for the sample buffer, and let the energy follow the instant power. */
EXPORT int controlPowerChanged(struct fakeTray *tray, int gpu)
{
    struct fakeGpu *target = controlGpu(tray, gpu);
    uint64_t now = driverNs(tray);

    if (target == NULL)
        return -1;
    target->power_history[target->power_changes % FAKE_POWER_CHANGES] = (struct fakePowerChange){
        now, target->power_instant_mw, target->module_instant_mw};
    __atomic_add_fetch(&target->power_changes, 1, __ATOMIC_RELEASE);
    rampSetRate(&target->energy_mj, (double)target->power_instant_mw, now);
    return 0;
}

EXPORT int controlSetEnergy(struct fakeTray *tray, int gpu, uint64_t millijoules)
{
    struct fakeGpu *target = controlGpu(tray, gpu);

    if (target == NULL)
        return -1;
    rampWrite(&target->energy_mj, 0, millijoules, (double)target->power_instant_mw, driverNs(tray));
    return 0;
}

EXPORT int controlGetEnergy(struct fakeTray *tray, int gpu, uint64_t *millijoules)
{
    struct fakeGpu *target = controlGpu(tray, gpu);

    if (target == NULL)
        return -1;
    *millijoules = rampValue(&target->energy_mj, driverNs(tray));
    return 0;
}

/* The counters of the reasons that are set advance from now on, the others stand still. */
EXPORT int controlSetClockEvents(struct fakeTray *tray, int gpu, uint64_t reasons)
{
    struct fakeGpu *target = controlGpu(tray, gpu);
    uint64_t now = driverNs(tray);

    if (target == NULL)
        return -1;
    __atomic_store_n(&target->clock_events, reasons, __ATOMIC_RELEASE);
    for (unsigned int i = 0; i < fakeThrottleCount; i++) {
        double rate = (reasons & fakeThrottles[i].reasons) != 0 ? (double)NS_PER_SECOND : 0.0;
        rampSetRate(&target->throttle_ns[i], rate, now);
    }
    return 0;
}

EXPORT int controlClearThrottleTimes(struct fakeTray *tray, int gpu)
{
    struct fakeGpu *target = controlGpu(tray, gpu);
    uint64_t now = driverNs(tray);

    if (target == NULL)
        return -1;
    for (unsigned int i = 0; i < fakeThrottleCount; i++)
        rampWrite(&target->throttle_ns[i], 0, 0, target->throttle_ns[i].rate_per_second, now);
    return 0;
}

/* Let an activity metric accumulate at a rate: percent, or MiB/s. */
EXPORT int controlSetActivity(struct fakeTray *tray, int gpu, unsigned int metric, double rate)
{
    struct fakeGpu *target = controlGpu(tray, gpu);

    if (target == NULL || metric >= FAKE_GPM_METRICS || fakeGpmRow(metric).source != GPM_RATE)
        return -1;
    rampSetRate(&target->gpm_rates[metric], rate * FAKE_GPM_SCALE, driverNs(tray));
    return 0;
}
