"""Tables of the ledger. A change here needs a migration in `migrations/versions`."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData()

_Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER keys by itself
_Time = BigInteger().with_variant(Integer, "sqlite")  # ms beyond 2**31

FACT = Table(
    "fact",
    METADATA,
    Column("id", _Id, primary_key=True),  # order of recording over all partitions
    Column("partition", Integer, nullable=False),
    Column("row", Integer, nullable=False),  # 1.. without gaps within the partition
    Column("kind", String, nullable=False),
    Column("key", String, nullable=False, unique=True),
    Column("rack", String, nullable=False),
    Column("node", String, nullable=False),
    Column("run", String, nullable=False),
    Column("seq", _Id, nullable=False),
    Column("gpu", String, nullable=False),
    Column("from_ms", _Time, nullable=False),
    Column("to_ms", _Time),
    Column("health", String),
    Column("cause", String),
    Column("not_before_ms", _Time),
    Column("body", Text, nullable=False),
    Column("replaces", String),
    Column("recorded_ms", _Time, nullable=False),
    Column("previous_hash", String, nullable=False),
    Column("hash", String, nullable=False),
    Index("fact_partition_row", "partition", "row", unique=True),
    Index("fact_kind", "kind"),
)
# Corrections are few: an index of them alone costs other rows nothing.
Index(
    "fact_replaces",
    FACT.c.replaces,
    sqlite_where=FACT.c.replaces.is_not(None),
    postgresql_where=FACT.c.replaces.is_not(None),
)

PROGRESS = Table(
    "progress",
    METADATA,
    Column("node", String, primary_key=True),
    Column("run", String, primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("rack", String, nullable=False),
    Column("boot", String, nullable=False),
    Column("seq", _Id, nullable=False),
    Column("to_ms", _Time, nullable=False),
    Column("ended", Integer, nullable=False),
    Column("open", Text, nullable=False),
    Column("checksum", _Id),  # the one table outside the chain: CRC-32 of its row; none in rows of schema 0001
)

SEAL = Table(
    "seal",
    METADATA,
    Column("day", String, primary_key=True),
    Column("at_ms", _Time, nullable=False),
    Column("digest", String, nullable=False),
    Column("text", Text, nullable=False),  # as its file holds it
)
