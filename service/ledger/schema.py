"""Tables of the ledger. A change here needs a migration in `migrations/versions`."""

from sqlalchemy import Column, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData()

FACT = Table(
    "fact",
    METADATA,
    Column("id", Integer, primary_key=True),  # order of recording over all partitions
    Column("partition", Integer, nullable=False),
    Column("row", Integer, nullable=False),  # 1.. without gaps within the partition
    Column("kind", String, nullable=False),
    Column("key", String, nullable=False, unique=True),
    Column("rack", String, nullable=False),
    Column("node", String, nullable=False),
    Column("run", String, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("gpu", String, nullable=False),
    Column("from_ms", Integer, nullable=False),
    Column("to_ms", Integer),
    Column("health", String),
    Column("cause", String),
    Column("not_before_ms", Integer),
    Column("body", Text, nullable=False),
    Column("replaces", String),
    Column("recorded_ms", Integer, nullable=False),
    Column("previous_hash", String, nullable=False),
    Column("hash", String, nullable=False),
    Index("fact_partition_row", "partition", "row", unique=True),
    Index("fact_kind", "kind"),
)

PROGRESS = Table(
    "progress",
    METADATA,
    Column("node", String, primary_key=True),
    Column("run", String, primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("rack", String, nullable=False),
    Column("boot", String, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("to_ms", Integer, nullable=False),
    Column("ended", Integer, nullable=False),
    Column("open", Text, nullable=False),
)

SEAL = Table(
    "seal",
    METADATA,
    Column("partition", Integer, primary_key=True),
    Column("day", String, primary_key=True),
    Column("row", Integer, nullable=False),
    Column("hash", String, nullable=False),
    Column("signature", String),
)
