/*
 * The state of one simulated compute tray: the memory that every process maps.
 *
 * This header is the only description of that memory. The driver library reads it, the control
 * library (control.c) writes it by member name, and Python knows no offset at all. The build
 * passes a hash of this file as FAKE_LAYOUT_HASH, so a state file written by another layout is
 * refused instead of being misread.
 */
#ifndef FAKEDRIVER_STATE_H
#define FAKEDRIVER_STATE_H

#include <stdint.h>

#define FAKE_STATE_ENV "THREENINES_FAKE_DRIVER_STATE"
#define FAKE_MAGIC 0x3939394Eu

#define FAKE_GPUS 4u        /* GPUs of one GB300 compute tray */
#define FAKE_FIELD_IDS 320u /* above the highest id that nvml.h names */
#define FAKE_SCOPES 37u     /* links, lanes, profiles, power scopes; the last slot is "all" */
#define FAKE_SCOPE_ALL (FAKE_SCOPES - 1u)
#define FAKE_FUNCTIONS 512u
#define FAKE_EVENTS 1024u
#define FAKE_PROCESSES 16u
#define FAKE_THROTTLES 16u
#define FAKE_POWER_CHANGES 256u
#define FAKE_SRAM_COUNTERS 11u
#define FAKE_REMAP_LEVELS 5u
#define FAKE_GPM_METRICS 128u /* ids above do not exist on this board */
#define FAKE_GPM_SCALE 1e6    /* activity counts in millionths of its unit times seconds */

typedef uint8_t fake_u8;
typedef uint32_t fake_u32;
typedef int32_t fake_i32;
typedef uint64_t fake_u64;
typedef char fake_text;

/* A counter that advances by itself: value(now) = base + rate * (now - since). */
struct fakeRamp {
    uint32_t sequence; /* odd while a writer is inside; see ramp.h */
    uint32_t tag;      /* what the writer says about the value, read together with it */
    uint64_t base;
    double rate_per_second;
    uint64_t since_ns;
};

enum fakeSlotKind { FAKE_SLOT_DEFAULT, FAKE_SLOT_INTEGER, FAKE_SLOT_REAL, FAKE_SLOT_ERROR };

/*
 * What a test wants one (field id, scope) to answer; all zero means "as the field table says".
 * The base holds the integer, the bits of a double, or the error code; the tag holds the kind and
 * above it the value type plus one, where zero keeps the type of the field table.
 */
#define FAKE_SLOT_TAG(kind, type_plus_one) ((uint32_t)(kind) | (uint32_t)(type_plus_one) << 8)
#define FAKE_SLOT_KIND(tag) ((tag)&0xFFu)
#define FAKE_SLOT_TYPE_PLUS_ONE(tag) ((tag) >> 8)

struct fakeEvent {
    uint64_t published; /* position in the history plus one, written last */
    uint32_t gpu;
    uint32_t is_system;
    uint64_t type;
    uint64_t data;
};

struct fakeProcess {
    uint32_t pid;
    uint32_t unused;
    uint64_t used_bytes;
};

/* Power is a step function; GetSamples replays its steps. */
struct fakePowerChange {
    uint64_t since_ns;
    uint32_t gpu_mw;
    uint32_t module_mw;
};

/* ONE(kind, name) is a scalar, MANY(kind, name, count) an array. */
#define FAKE_TRAY_MEMBERS(ONE, MANY)                                                              \
    ONE(u32, magic)                                                                               \
    ONE(u32, size)                                                                                \
    ONE(u64, layout)                                                                              \
    ONE(u32, init_error)                                                                          \
    ONE(u32, generation)                                                                          \
    ONE(u64, clock_offset_ns)                                                                     \
    ONE(u32, cuda_driver_version)                                                                 \
    ONE(u32, privileged)                                                                          \
    ONE(u32, call_latency_us)                                                                     \
    ONE(u32, field_latency_us)                                                                    \
    ONE(u32, pcie_throughput_ms)                                                                  \
    ONE(u32, energy_step_ms)                                                                      \
    ONE(u32, sample_period_ms)                                                                    \
    ONE(u32, noise_ppm)                                                                           \
    ONE(u32, count_reported)                                                                      \
    ONE(u32, hang_holds_lock)                                                                     \
    ONE(u64, lock_until_ns)                                                                       \
    ONE(u32, quirk_overread)                                                                      \
    ONE(u32, quirk_mixed_batch)                                                                   \
    ONE(u32, quirk_fabric_padding)                                                                \
    ONE(u64, field_calls_overlapping)                                                             \
    ONE(u64, calls_total)                                                                         \
    ONE(u64, events_head)                                                                         \
    ONE(u32, events_wake)                                                                         \
    ONE(u32, unterminated_text)                                                                   \
    MANY(text, driver_version, 80)                                                                \
    MANY(text, nvml_version, 80)                                                                  \
    MANY(u32, call_delay_us, FAKE_FUNCTIONS)                                                      \
    MANY(u64, calls, FAKE_FUNCTIONS)                                                              \
    MANY(u32, call_error, FAKE_FUNCTIONS)

#define FAKE_GPU_MEMBERS(ONE, MANY)                                                               \
    ONE(u32, absent)                                                                              \
    ONE(u32, error)                                                                               \
    ONE(u32, hang_ms)                                                                             \
    ONE(u32, minor)                                                                               \
    ONE(u32, numa_node)                                                                           \
    ONE(u32, addressing_mode)                                                                     \
    ONE(u32, persistence)                                                                         \
    ONE(u32, compute_mode)                                                                        \
    ONE(u32, pci_domain)                                                                          \
    ONE(u32, pci_bus)                                                                             \
    ONE(u32, pci_device)                                                                          \
    ONE(u32, pci_device_id)                                                                       \
    ONE(u32, pci_subsystem_id)                                                                    \
    ONE(u32, pcie_generation)                                                                     \
    ONE(u32, pcie_generation_max)                                                                 \
    ONE(u32, pcie_width)                                                                          \
    ONE(u32, pcie_tx_kib)                                                                         \
    ONE(u32, pcie_rx_kib)                                                                         \
    ONE(u32, slot_number)                                                                         \
    ONE(u32, tray_index)                                                                          \
    ONE(u32, host_id)                                                                             \
    ONE(u32, peer_type)                                                                           \
    ONE(u32, module_id)                                                                           \
    ONE(u64, pdi)                                                                                 \
    ONE(u64, supported_events)                                                                    \
    ONE(u64, clock_events)                                                                        \
    ONE(u32, power_average_mw)                                                                    \
    ONE(u32, power_instant_mw)                                                                    \
    ONE(u32, module_average_mw)                                                                   \
    ONE(u32, module_instant_mw)                                                                   \
    ONE(u32, memory_average_mw)                                                                   \
    MANY(u32, limit_min_mw, 2)                                                                    \
    MANY(u32, limit_max_mw, 2)                                                                    \
    MANY(u32, limit_default_mw, 2)                                                                \
    MANY(u32, limit_current_mw, 2)                                                                \
    MANY(u32, limit_requested_mw, 2)                                                              \
    ONE(i32, temperature_c)                                                                       \
    ONE(i32, memory_temperature_c)                                                                \
    ONE(i32, margin_c)                                                                            \
    ONE(u32, gpu_utilisation)                                                                     \
    ONE(u32, memory_utilisation)                                                                  \
    ONE(u32, encoder_utilisation)                                                                 \
    ONE(u32, decoder_utilisation)                                                                 \
    MANY(u32, clock_mhz, 4)                                                                       \
    MANY(u32, clock_max_mhz, 4)                                                                   \
    ONE(u32, performance_state)                                                                   \
    ONE(u64, memory_total)                                                                        \
    ONE(u64, memory_reserved)                                                                     \
    ONE(u64, memory_used)                                                                         \
    ONE(u64, memory_free)                                                                         \
    ONE(u64, bar1_total)                                                                          \
    ONE(u32, recovery_action)                                                                     \
    ONE(u32, channel_repair_pending)                                                              \
    ONE(u32, tpc_repair_pending)                                                                  \
    ONE(u32, unrepairable_memory)                                                                 \
    ONE(u32, fabric_state)                                                                        \
    ONE(u32, fabric_status)                                                                       \
    ONE(u32, fabric_clique)                                                                       \
    ONE(u32, fabric_health_mask)                                                                  \
    ONE(u32, fabric_summary)                                                                      \
    ONE(u32, sram_threshold_exceeded)                                                             \
    ONE(u32, profiles_supported)                                                                  \
    ONE(u32, profiles_requested)                                                                  \
    ONE(u32, profiles_enforced)                                                                   \
    ONE(u32, unterminated_text)                                                                   \
    ONE(u32, gpm_unsupported)                                                                     \
    ONE(u32, process_count)                                                                       \
    ONE(u32, power_changes)                                                                       \
    MANY(text, name, 96)                                                                          \
    MANY(text, uuid, 80)                                                                          \
    MANY(text, serial, 30)                                                                        \
    MANY(text, board_part_number, 80)                                                             \
    MANY(text, vbios_version, 32)                                                                 \
    MANY(text, gsp_version, 64)                                                                   \
    MANY(u8, chassis_serial, 16)                                                                  \
    MANY(u8, ib_guid, 16)                                                                         \
    MANY(u8, cluster_uuid, 16)                                                                    \
    MANY(u64, sram_errors, FAKE_SRAM_COUNTERS)                                                    \
    MANY(u32, bank_remaps, FAKE_REMAP_LEVELS)                                                     \
    MANY(u32, gpm_error, FAKE_GPM_METRICS)                                                        \
    MANY(u32, call_error, FAKE_FUNCTIONS)

#define FAKE_DECLARE_ONE(kind, name) fake_##kind name;
#define FAKE_DECLARE_MANY(kind, name, count) fake_##kind name[count];

struct fakeGpu {
    FAKE_GPU_MEMBERS(FAKE_DECLARE_ONE, FAKE_DECLARE_MANY)
    struct fakeRamp energy_mj;
    struct fakeRamp uptime_s;
    struct fakeRamp throttle_ns[FAKE_THROTTLES]; /* in the order of the table in throttle.c */
    struct fakeRamp gpm_rates[FAKE_GPM_METRICS];
    struct fakeProcess processes[FAKE_PROCESSES];
    struct fakePowerChange power_history[FAKE_POWER_CHANGES];
    struct fakeRamp fields[FAKE_FIELD_IDS][FAKE_SCOPES];
};

struct fakeTray {
    FAKE_TRAY_MEMBERS(FAKE_DECLARE_ONE, FAKE_DECLARE_MANY)
    struct fakeEvent events[FAKE_EVENTS];
    struct fakeGpu gpus[FAKE_GPUS];
};

#endif
