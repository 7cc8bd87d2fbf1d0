"""The ledger that nobody can quietly change: whatever is done to its rows up to the last exported seal is found."""

import contextlib
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.clock import SimulatedClock
from service.core import limits
from service.core.errors import LedgerError
from service.core.facts import Fact, FactKind, OpenCoverage, Progress
from service.core.health import Health
from service.core.seal import Seal, fault_of, seal, seal_of, seal_text
from service.ledger.backup import backup
from service.ledger.chain import GENESIS, canonical, digest
from service.ledger.rows import FACT_COLUMNS, HASHED_COLUMNS
from service.ledger.store import SqlLedger
from service.sealing import Sealer
from service.verify import Report, verify

BASE = 1_782_864_000_000
DAYS = 3
NAMES = ", ".join(f'"{name}"' for name in FACT_COLUMNS)
Tamper = Callable[[sqlite3.Connection, random.Random], bool]  # False where it found nothing to do


def _fact(chance: random.Random, number: int) -> Fact:
    at_ms = BASE + number * 1_000
    return Fact(
        kind=chance.choice([FactKind.COVERAGE, FactKind.EVENT, FactKind.PLACEMENT]),
        key=f"fact/{number}",
        partition=chance.choice([3, 18, 64]),
        from_ms=at_ms,
        to_ms=chance.choice([None, at_ms + 500]),
        rack="r0001",
        node="r0001-t01",
        run="run",
        seq=number,
        gpu=chance.choice(["", "GPU-a", "GPU-b"]),
        health=chance.choice([None, *Health]),
        cause=chance.choice([None, "gpu:lost"]),
        not_before_ms=chance.choice([None, at_ms - 1]),
        body=chance.choice(["", '{"a":"ü"}', "r0001/t01/g0"]),
        replaces=chance.choice([None, None, f"fact/{number - 1}"]),
    )


def _written(path: Path, chance: random.Random) -> list[Seal]:
    """Write a ledger of a few days, sealed daily, and a tail that no seal covers; return what was exported."""
    ledger, clock = SqlLedger(f"sqlite:///{path}"), SimulatedClock(BASE)
    exported: list[Seal] = []
    sealer = Sealer(ledger, clock, export=exported.append)
    number = 0
    with contextlib.closing(ledger):
        for day in range(DAYS + 1):
            for _ in range(chance.randrange(1, 4)):
                many = [_fact(chance, number + at) for at in range(chance.randrange(1, 5))]
                number += len(many)
                ledger.commit(many, [], clock.now_ms())
            clock.advance_to(BASE + (day + 1) * limits.DAY_MS + 60_000)
            due = sealer.due()
            if day < DAYS and due is not None:
                sealer.seal(due)
    return list(map(seal_of, dict.fromkeys(map(seal_text, exported))))


def _sealed_rows(connection: sqlite3.Connection, seals: Sequence[Seal]) -> list[int]:
    rows = connection.execute('SELECT id, partition, "row" FROM fact ORDER BY id').fetchall()
    last = seals[-1].cut
    return [number for number, partition, row in rows if row <= last.get(partition, (0, ""))[0]]


def _values(connection: sqlite3.Connection, number: int) -> dict[str, Any]:
    row = connection.execute(f"SELECT {NAMES} FROM fact WHERE id = ?", (number,)).fetchone()
    return dict(zip(FACT_COLUMNS, row, strict=True))


def _change_a_value(connection: sqlite3.Connection, sealed: list[int], chance: random.Random) -> None:
    """Another value in any column of any row; of a text, one character."""
    number, name = chance.choice(sealed), chance.choice(FACT_COLUMNS)
    value = _values(connection, number)[name]
    other: Any
    if value is None:
        other = chance.choice(["x", 7])
    elif isinstance(value, int):
        other = value ^ (1 << chance.randrange(20))
    elif value:
        at = chance.randrange(len(value))
        other = value[:at] + chr(ord(value[at]) ^ (1 << chance.randrange(5))) + value[at + 1 :]
    else:
        other = "x"
    connection.execute(f'UPDATE OR REPLACE fact SET "{name}" = ? WHERE id = ?', (other, number))


def _remove(connection: sqlite3.Connection, sealed: list[int], chance: random.Random) -> None:
    """One row goes, or all from one on."""
    number = chance.choice(sealed)
    sign = chance.choice(["=", ">="])
    connection.execute(f"DELETE FROM fact WHERE id {sign} ?", (number,))


def _swap_places(connection: sqlite3.Connection, sealed: list[int], chance: random.Random) -> None:
    """Two rows change places in the order of recording, everything else about them kept."""
    one, other = chance.sample(sealed, 2)
    same = _values(connection, one)["partition"] == _values(connection, other)["partition"]
    between = [number for number in sealed if min(one, other) < number < max(one, other)]
    partitions = {_values(connection, number)["partition"] for number in (one, *between, other)}
    assert same or len(partitions) > 1
    for before, after in ((one, -1), (other, one), (-1, other)):
        connection.execute("UPDATE fact SET id = ? WHERE id = ?", (after, before))


def _swap_content(connection: sqlite3.Connection, sealed: list[int], chance: random.Random) -> None:
    """Two rows exchange what they say and keep their places in the chain."""
    one, other = chance.sample(sealed, 2)
    kept = {"partition", "row", "previous_hash", "hash"}
    names = [name for name in FACT_COLUMNS if name not in kept]
    first, second = _values(connection, one), _values(connection, other)
    connection.execute("UPDATE fact SET key = 'aside' WHERE id = ?", (other,))
    for number, values in ((one, second), (other, first)):
        settings_ = ", ".join(f'"{name}" = ?' for name in names)
        connection.execute(f"UPDATE fact SET {settings_} WHERE id = ?", [*(values[n] for n in names), number])


def _insert(connection: sqlite3.Connection, sealed: list[int], chance: random.Random) -> None:
    """A row appears among those that were sealed: later ones move on."""
    values = _values(connection, chance.choice(sealed))
    where = 'partition = ? AND "row" >= ?'
    for number, row in connection.execute(
        f'SELECT id, "row" FROM fact WHERE {where} ORDER BY "row" DESC', (values["partition"], values["row"])
    ).fetchall():
        connection.execute('UPDATE fact SET "row" = ? WHERE id = ?', (row + 1, number))
    marks = ", ".join("?" * len(FACT_COLUMNS))
    values["key"] += "/forged"
    connection.execute(f"INSERT INTO fact ({NAMES}) VALUES ({marks})", [values[name] for name in FACT_COLUMNS])


ACTS = [_change_a_value, _remove, _swap_places, _swap_content, _insert]


def _rechain(connection: sqlite3.Connection) -> None:
    """Do what a landlord would: number the rows anew and recompute every hash."""
    tips: dict[int, tuple[int, str]] = {}
    for (number,) in connection.execute("SELECT id FROM fact ORDER BY id").fetchall():
        values = _values(connection, number)
        count, last = tips.get(values["partition"], (0, GENESIS))
        values |= {"row": count + 1}
        made = digest(last, canonical(*(values[name] for name in HASHED_COLUMNS)))
        connection.execute(
            'UPDATE fact SET "row" = ?, previous_hash = ?, hash = ? WHERE id = ?', (-number, last, made, number)
        )
        tips[values["partition"]] = (count + 1, made)
    rows: dict[int, int] = {}
    for number, partition in connection.execute("SELECT id, partition FROM fact ORDER BY id").fetchall():
        rows[partition] = rows.get(partition, 0) + 1
        connection.execute('UPDATE fact SET "row" = ? WHERE id = ?', (rows[partition], number))


def _reseal(path: Path, seals: Sequence[Seal]) -> None:
    """Put seals of the forged rows into the ledger, as many as there were."""
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM seal")
    connection.close()
    ledger = SqlLedger(f"sqlite:///{path}")
    previous: Seal | None = None
    with contextlib.closing(ledger):
        for one in seals:
            cut = ledger.cut()
            before = previous.cut if previous else {}
            previous = seal(one.day, one.at_ms, cut, ledger.order(before, cut), previous)
            ledger.add_seal(previous)


def _verified(path: Path, seals: Sequence[Seal] | None) -> Report:
    ledger = SqlLedger(f"sqlite:///{path}", read_only=True)
    try:
        return verify(ledger, None if seals is None else [(one.day, one) for one in seals])
    finally:
        ledger.close()


@settings(max_examples=120, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(ACTS), st.booleans())
def test_any_change_removal_or_reordering_of_sealed_rows_is_found(
    chance: random.Random, act: Callable[..., None], rechained: bool
) -> None:
    """Change, removal, insertion, exchange, reordering; left as it is, or with every hash and seal made anew."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "l.db"
        seals = _written(path, chance)
        fine = _verified(path, seals)
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            before = connection.execute(f"SELECT id, {NAMES} FROM fact ORDER BY id").fetchall()
            sealed = _sealed_rows(connection, seals)
            if len(sealed) < 2:
                return
            act(connection, sealed, chance)
            if rechained:
                with contextlib.suppress(TypeError, ValueError):  # a value of another type cannot even be hashed
                    _rechain(connection)
            after = connection.execute(f"SELECT id, {NAMES} FROM fact ORDER BY id").fetchall()
        touched = before[: len(sealed)] != after[: len(sealed)]
        if rechained and touched:
            with contextlib.suppress(LedgerError):
                _reseal(path, seals)
        found = _verified(path, seals)

        assert fine.findings == ()
        assert fine.rows == len(before)
        assert bool(found.findings) == touched


def _content(path: Path) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = connection.execute(f"SELECT id, {NAMES} FROM fact ORDER BY id").fetchall()
        rows += connection.execute("SELECT * FROM progress ORDER BY node, run").fetchall()
        return rows + connection.execute("SELECT * FROM seal ORDER BY day").fetchall()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Seal]]:
    """A ledger of some pages, with progress, closed; and what was exported of it."""
    path = tmp_path_factory.mktemp("whole") / "l.db"
    seals = _written(path, random.Random(4))
    ledger = SqlLedger(f"sqlite:///{path}")
    entry = OpenCoverage(gpu="GPU-a", from_ms=BASE, to_ms=BASE + 9, health=Health.UP)
    run = Progress(partition=3, rack="r", node="n", run="r", boot="b", seq=1, to_ms=BASE + 9, open=(entry,))
    ledger.commit([_fact(random.Random(n), 1_000 + n) for n in range(40)], [run], BASE)
    last = seal(
        "2026-07-09", BASE + 9 * limits.DAY_MS, ledger.cut(), ledger.order(seals[-1].cut, ledger.cut()), seals[-1]
    )
    ledger.add_seal(last)
    ledger.close()
    return path, [*seals, last]


def _told(path: Path, seals: Sequence[Seal]) -> bool:
    """Return whether the damage of a file is told, by an error of ours or by a finding."""
    try:
        return bool(_verified(path, seals).findings)
    except LedgerError:
        return True


@settings(max_examples=300, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_in_the_file_is_told_or_changes_nothing(
    whole: tuple[Path, list[Seal]], at: float, bit: int
) -> None:
    """Damage of the disk: never a crash, never other content taken for good."""
    path, seals = whole
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 1 << bit
    with tempfile.TemporaryDirectory() as name:
        damaged = Path(name) / "l.db"
        damaged.write_bytes(data)

        assert _told(damaged, seals) or _content(damaged) == _content(path)


@settings(max_examples=60, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_told(whole: tuple[Path, list[Seal]], at: float) -> None:
    """Whatever is cut off the end of a ledger file, it is told."""
    path, seals = whole
    data = path.read_bytes()
    with tempfile.TemporaryDirectory() as name:
        damaged = Path(name) / "l.db"
        damaged.write_bytes(data[: int(at * len(data))])

        assert _told(damaged, seals)


def test_damage_in_the_middle_names_what_is_lost_and_a_backup_brings_it_back(tmp_path: Path) -> None:
    """Rows around a destroyed page are still judged; the range is named; the backup has it all."""
    path, copy = tmp_path / "l.db", tmp_path / "copy.db"
    ledger = SqlLedger(f"sqlite:///{path}")
    for start in range(0, 3_000, 100):
        ledger.commit([_fact(random.Random(n), n) for n in range(start, start + 100)], [], BASE)
    only = seal("2026-07-01", BASE, ledger.cut(), ledger.order({}, ledger.cut()), None)
    ledger.add_seal(only)
    backup(f"sqlite:///{path}", copy)
    ledger.close()
    data = bytearray(path.read_bytes())
    middle = len(data) * 2 // 5 // 4096 * 4096  # a page of rows; others are of indices
    data[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(data)
    found = _verified(path, [only])
    shutil.copy(copy, path)

    rows = [one for one in found.findings if one.kind == "row"]
    assert {one.kind for one in found.findings} >= {"row", "file"}
    assert all((one.last_row or 0) - (one.row or 0) < 20 for one in rows)  # the seal proves the rest
    assert found.rows > 2_900
    assert _verified(path, [only]).findings == ()


def test_seals_chain_and_a_missing_or_foreign_one_is_found() -> None:
    """A seal that was left out, changed, or put before another is named."""
    first = seal("2026-07-01", 1, {3: (2, "a" * 64)}, "", None)
    second = seal("2026-07-02", 2, {3: (5, "b" * 64)}, "", first)
    shorter = seal("2026-07-02", 2, {3: (1, "b" * 64)}, "", first)

    assert fault_of(first, None) is None
    assert fault_of(second, first) is None
    assert "missing" in str(fault_of(second, None))
    assert "does not follow" in str(fault_of(first, second))
    assert "fewer rows" in str(fault_of(shorter, first))
    assert "digest" in str(fault_of(seal_of(seal_text(second).replace('"rows": 3', '"rows": 4')), first))
    assert seal_of(seal_text(second)) == second
