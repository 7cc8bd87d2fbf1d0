"""Every bound of the system, each with its reason, and the relations between them.

A bound without a place here does not exist: queues, waits, sizes and plausible ranges
are named once, so that an operator can see what the service will never exceed.
"""

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

# Time that can be meant: 2020 to 2100. Outside it a clock is wrong, not the world.
EARLIEST_MS = 1_577_836_800_000
LATEST_MS = 4_102_444_800_000

# Agent
POLL_INTERVAL_MS = SECOND_MS
POLL_INTERVAL_MIN_MS = 100
POLL_INTERVAL_MAX_MS = 10 * SECOND_MS  # a suspicion, held back until it is confirmed, must not become silence
STATUS_INTERVAL_MS = 10 * SECOND_MS
LINKS_INTERVAL_MS = 10 * SECOND_MS
DETAIL_INTERVAL_MS = 60 * SECOND_MS
READING_MS = 10 * SECOND_MS  # the newest values go to the service this often
HEARTBEAT_MS = 5 * SECOND_MS
HEARTBEAT_MIN_MS = 500
HEARTBEAT_MAX_MS = 10 * SECOND_MS
CALL_DEADLINE_MS = 2_500  # a GPU whose call takes longer is hung; 2.5 polls, so one slow call is not
CONFIRM_DOWN_READINGS = 2  # one bad reading is a suspicion, two are a fact
CONFIRM_UP_READINGS = 3  # a GPU that flickers is not back
TIE_BREAK_MS = 10 * SECOND_MS  # how long the driver may take to name its recovery action after an XID
REANCHOR_MS = 250  # wall clock against monotonic clock; beyond it a new run begins
DRIVER_RETRY_MS = 5 * SECOND_MS
DRIVER_RETRY_MAX_MS = 20 * SECOND_MS  # evidence that there is no driver must not become silence
EVENT_WAIT_MS = SECOND_MS  # an event ends the wait at once; this is how late a worker hears that it shall stop
EVENTS_DRAINED = 1_024  # events of the driver that are taken in one go
AGENT_QUEUE_ITEMS = 4_096  # readings and events between the workers and the agent loop
ROUND_MS = 100  # how long the loop waits for the rest of a round once a GPU was read
AGENT_TICK_MS = 1_250  # the loop's longest sleep; above a poll, so that a round of readings wakes it and not both
CENSUS_MS = MINUTE_MS  # how often a tray that misses a GPU is counted anew
CENSUS_WHOLE_MS = 10 * MINUTE_MS  # how often one that misses none is
FROZEN_READINGS = 120  # so many pulses that agree in every bit, energy included, are no life

# Collector process
COLLECTOR_FRAME_BYTES = 64 * 1024  # the longest answer, shape included, of 18 links is below 30 KiB
EVENTS_PER_FRAME = 256
COLLECTOR_OPEN_MS = 30 * SECOND_MS  # a driver without persistence brings four GPUs up in less
GPU_OPEN_MS = 6 * SECOND_MS  # one that has not said who it is by then keeps no other waiting
COLLECTOR_END_MS = SECOND_MS  # how long it may take to end, asked or killed, before it is left behind
COLLECTORS_LEFT = 3  # processes that even a kill does not end; with so many no more are started
DRIVER_HUNG_MS = 15 * SECOND_MS  # no GPU answers for so long: the collector is replaced
GPU_HUNG_MS = 10 * MINUTE_MS  # one GPU hangs for so long while others answer: they pay for a replacement
REPLACED_AGAIN_MAX = 32  # these two bounds double up to so many times with each replacement in vain
COLLECTOR_RETRY_MS = 200  # a collector that ended is started again after this, doubled each time
COLLECTOR_RETRY_MAX_MS = 60 * SECOND_MS

# The node's /metrics
STALE_ROUNDS = 3  # a value that was not collected for as many turns is not live
SERIES_KEPT = 32_768  # texts of series that are kept; a tray has about 3 000
METRICS_CONNECTIONS = 16  # at once; one more is told 503
METRICS_REQUEST_SECONDS = 5.0  # for a handshake, a request's head, a reply: a slow client is cut off
METRICS_LINE_BYTES = 16 * 1024  # of a request's first line
METRICS_IDLE_SECONDS = 90.0  # between two scrapes of one connection
METRICS_REQUESTS = 100_000  # of one connection; then the client opens another
WEB_CONFIG_BYTES = 1024 * 1024
BCRYPT_COST_MAX = 14  # about a second; more would make every wrong password a stall
CREDENTIALS_KEPT = 128  # right passwords that need no second bcrypt

# Faults: the kernel log, and XIDs from every witness
KERNEL_READ_BYTES = 64 * 1024
KERNEL_LINE_BYTES = 8 * 1024  # the kernel writes no longer record; a longer line is nobody's
KERNEL_LINES_PER_SECOND = 20_000  # beyond it the reader rests and the kernel's own buffer overruns, counted
KERNEL_WINDOW_MS = SECOND_MS  # equal lines within it are folded
KERNEL_KEYS_PER_CODE = 16  # different lines of one GPU and code that pass in a window
KERNEL_KEYS_PER_GPU = 64  # different lines of one GPU that pass in a window
KERNEL_LATE_MS = MINUTE_MS  # a live line that claims to be older is placed where it arrived
KERNEL_LAGS = 64  # newest lines from which the kernel's clock is placed
KERNEL_WAIT_MS = 500
KERNEL_IDLE_MS = 50  # between two looks at the end of a plain file
KERNEL_RETRY_MS = 30 * SECOND_MS
KERNEL_FOLDED_KEYS = 4_096  # GPUs and codes whose folded lines are told apart
KERNEL_EARLY_ITEMS = 256  # notices that wait while no driver is open; what comes then is counted and dropped
KERNEL_LINES_KNOWN = 256  # newest different lines that are not parsed again
XID_MAX = 65_535  # what the wire carries; the catalogue ends far below
XID_WITNESS_MS = 2 * SECOND_MS  # two witnesses of one XID are this close
XID_FACTS_PER_WINDOW = 64  # facts of one GPU in that window; what is beyond is counted only
XID_CODES = 64  # codes outside the table that are told apart per GPU
INCIDENT_SILENCE_MS = 3 * MINUTE_MS
INCIDENT_STICKY_MS = 3 * HOUR_MS
INCIDENT_CODES = 64  # codes told apart in one incident; a further one joins unnamed
INCIDENTS_OPEN = 8  # per GPU: one for each sticky code, a lost smoothing, the newest, and room
ESCALATION_MS = 7 * DAY_MS  # how far back remedies of a GPU count
REMEDY_HOLDS_MS = DAY_MS  # a GPU that fails again sooner was not helped
REMEDIES_IN_VAIN = 2  # so many that did not help: hardware
REMEDIES_OFTEN = 5  # so many, whether they helped or not: hardware review
CASES_KEPT = 64  # GPUs of a tray, those that were replaced included, of which it is remembered what befell them
REMEDIES_KEPT = 16  # newest remedies of one GPU
FAULTS_SAVE_MS = 5 * SECOND_MS  # XID counters are on disk at least this often
LINES_SAVE_MS = 250  # after a line of the kernel log, so that a killed agent reads few of them twice
TALLY_BYTES = 1024 * 1024  # 16 GPUs, every code, with room

# Spool
SPOOL_BYTES = 256 * 1024 * 1024  # about 35 days of one node at 5 s
SPOOL_RESERVE_BYTES = 64 * 1024  # so that a gap record fits on a full spool
SPOOL_SEGMENT_BYTES = 1024 * 1024
SPOOL_FSYNC_MS = SECOND_MS  # a heartbeat may wait this long for the disk, a change never
SPOOL_RECORD_BYTES = 64 * 1024

# Bus
BATCH_MESSAGES = 256
BATCH_BYTES = 1024 * 1024
MESSAGE_BYTES = 64 * 1024
RESEND_MS = 2 * SECOND_MS
RESEND_MAX_MS = 60 * SECOND_MS
DRAIN_SECONDS = 2.0  # how long an agent that stops waits for the receipt of its last facts
MEMORY_BUS_BATCHES = 1_024
RECEIPT_WAIT_SECONDS = 30.0
READINGS_KEPT = 65_536  # newest reading of each node; a node more is dropped and counted

# Service
GRACE_MS = 30 * SECOND_MS  # silence shorter than this alarms nobody
FUTURE_MS = 5 * SECOND_MS  # an observation that ends later than this ahead of us is not believed
HELD_BACK_MESSAGES = 10_000  # per run: messages that wait for a missing predecessor
COMMIT_MESSAGES = 2_000
GPUS_PER_NODE = 16
NODES_MAX = 200_000
RUNS_PER_NODE = 64  # runs of one node that are remembered with a watermark at once
NAME_LENGTH = 64
REASON_LENGTH = 200
TEXT_LENGTH = 1_024  # of any text in a fact
PARTITIONS = 64  # fixed for ever: move partitions, never rehash

# Ledger
LEDGER_LOST_RANGES = 1_024  # places of a damaged file that are gone around; with more the rest is given up
FINDINGS = 1_000  # of one verification; what is beyond says nothing new
SEAL_FILE_BYTES = 1024 * 1024  # a seal names at most 66 partitions
RESTORED_OFFERS = 3  # so often an agent offers its oldest number before a restored ledger believes it is the oldest
CHECKPOINT_SECONDS = 3_600.0
KEY_LENGTH = 512  # of a fact: a node, a run and a GPU fit twice
OPERATOR_BODY_BYTES = 64 * 1024  # what one person says at once
OPEN_REACH_MS = 60 * DAY_MS  # a spool holds about 35 days: a note of what is open changes no older month
DEAD_RUN_MS = DAY_MS  # a run that is silent for so long while another speaks for its node will hardly come back

# Contract files
CONTRACT_BYTES = 4 * 1024 * 1024
CONTRACT_PLACES = 1_000_000
CONTRACT_DURATION_MS = 10 * 366 * DAY_MS  # no rule of a contract is meant to last longer
CONTRACT_VERSIONS = 256
EXACT_KEPT = 512  # decimals of contracts whose fractions are kept: targets, tier edges, weights
FORMULA_LINES = 200  # of one credit, shown at once; each unit keeps its own
EVIDENCE_PLACES = 2_000  # places whose rows one statement names
EVIDENCE_ROWS = 200  # rows of one place that one statement names; `explain` lists them all
EVIDENCE_NEAR_MS = 10 * MINUTE_MS  # events so close to an outage are shown with it
STATEMENT_MONTHS = 120  # months of a tenant that are watched for what changes them
EXPLAIN_ROWS = 10_000  # of one explanation
CLAIM_DAYS = 3_660  # daily hours of a longer claim are not listed

assert CALL_DEADLINE_MS > POLL_INTERVAL_MS  # noqa: S101 -- a relation between our own constants
assert DRIVER_RETRY_MAX_MS < GRACE_MS  # noqa: S101
assert DRIVER_HUNG_MS > 2 * CALL_DEADLINE_MS  # noqa: S101
assert GPU_OPEN_MS < COLLECTOR_OPEN_MS  # noqa: S101 -- all of a tray are asked at once
assert GPU_HUNG_MS > DRIVER_HUNG_MS  # noqa: S101
assert GRACE_MS >= 6 * HEARTBEAT_MS  # noqa: S101
assert GRACE_MS >= HEARTBEAT_MAX_MS + 2 * POLL_INTERVAL_MAX_MS  # noqa: S101
assert GRACE_MS >= CONFIRM_UP_READINGS * POLL_INTERVAL_MAX_MS  # noqa: S101
assert SPOOL_RESERVE_BYTES >= SPOOL_RECORD_BYTES  # noqa: S101
assert SPOOL_SEGMENT_BYTES * 4 <= SPOOL_BYTES  # noqa: S101
assert MESSAGE_BYTES <= BATCH_BYTES  # noqa: S101
assert KERNEL_LINE_BYTES < KERNEL_READ_BYTES  # noqa: S101
assert REMEDIES_IN_VAIN <= REMEDIES_OFTEN <= REMEDIES_KEPT  # noqa: S101
assert CASES_KEPT >= 2 * GPUS_PER_NODE  # noqa: S101
assert XID_WITNESS_MS < INCIDENT_SILENCE_MS < INCIDENT_STICKY_MS  # noqa: S101
