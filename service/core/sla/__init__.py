"""The availability engine: facts and a contract in, everything a statement shows out.

Pure and exact: `int` ms, `Fraction`, `Decimal`. Order of operations: member facts, three-valued
member timelines, clock start, stop and end, roll-up, join short gaps, minimum outage on the whole
incident, approved exclusions by precedence, clip to acceptance and period, grain, sum, deductible,
compare, tier, base, caps, stack, round. Unknown time is taken twice, as up and as down.
"""
