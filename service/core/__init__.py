"""The functional core: values in, values out; no clock, no I/O, no randomness.

Glossary; one word per thing, everywhere in code, metrics, pages and statements:

availability     up time over the contract's denominator, 0 to 1, with bounds `lo` and `hi`
coverage         a stretch of time throughout which an agent saw a GPU in one health
cause            the word that says why a health is not `up`; its table is `core.health`
contract         the terms between landlord and tenants, as data
door             the only module that imports an outside dependency
error budget     the down time that a target still allows in a period
event            something that happened at an instant, as a node told it
evidence         a span, a health and a cause, by some witness
fact             one append-only row of the ledger
frontier         the instant up to which everything is known that will come without delay
health           how a GPU served, as somebody saw it: up, degraded, down
inventory        the GPUs that a tray shows, by UUID and position
lease            places promised to a tenant over a span
ledger           the append-only store of facts; the truth that metrics are a view of
node             a tray as software sees it
objective        a target for an availability unit (SLO with consequences: the SLA)
observation      the message by which an agent reports coverage
partition        the 1/64 of all racks that one writer owns
place            rack, tray and position where a GPU sits
placement        which GPU sat at a place, and since when
projection       the fold of the ledger held in memory
reading          one collection of one GPU's values at one instant
receipt          the service's answer: everything up to this number is committed
run              one life of an agent; numbers are without gaps within it
seal             the daily digest of what was recorded
span             half-open `[from_ms, to_ms)`
spool            the facts on an agent's disk that no receipt covers yet
state            how a span counts: a health, or unknown
statement        a version of a period's result
tenant           a party that leases places; the landlord leases from itself
timeline         states that tile a window: no gap, no overlap
unknown          nobody observed; neither up nor down
watermark        the highest number of a run up to which all is committed
XID              the driver's error code for a GPU
"""
