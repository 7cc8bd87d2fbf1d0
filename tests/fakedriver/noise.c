/*
 * Measurement noise of power: deterministic, another value every 100 ms of driver time.
 *
 * The same GPU at the same driver time reads the same in every process, so noise never makes a test
 * depend on chance. Energy integrates the power without it.
 */
#include "driver.h"

#define STEP_NS (100 * NS_PER_MS)
#define PPM 1000000ll

/* The finalising steps of splitmix64, a public-domain generator. */
static uint64_t mixed(uint64_t number)
{
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9ull;
    number = (number ^ (number >> 27)) * 0x94D049BB133111EBull;
    return number ^ (number >> 31);
}

uint32_t fakeMeasured(const struct fakeGpu *gpu, uint32_t milliwatts)
{
    int64_t reach = fakeTray->noise_ppm;
    uint64_t step = driverNs(fakeTray) / STEP_NS;

    if (reach == 0)
        return milliwatts;
    uint64_t chance = mixed(step * FAKE_GPUS + fakeGpuIndex(gpu));
    int64_t ppm = (int64_t)(chance % (uint64_t)(2 * reach + 1)) - reach;
    return (uint32_t)(milliwatts + (int64_t)milliwatts * ppm / PPM);
}
