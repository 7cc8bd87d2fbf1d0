"""Does the ledger hold what was sealed, and do its statements follow from it? What does not fit, first row first."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from service.core import limits
from service.core.errors import LedgerError
from service.core.facts import Fact, FactKind
from service.core.ports import Ledger
from service.core.scanned import Broken, Scan
from service.core.seal import Seal, fault_of
from service.issue import Recompute

NamedSeal = tuple[str, Seal | str]  # where it stands; the seal, or why it is none
Judge = Callable[[Seal], str | None]  # what is wrong with a signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that does not fit.

    `kind` is `row`, `order`, `file`, `progress`, `seal` or `statement`. Where rows are concerned, `row` to
    `last_row` of `partition` are in question; `last_row` is None when nothing says how far.
    """

    kind: str
    text: str
    partition: int | None = None
    row: int | None = None
    last_row: int | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was checked, and everything that does not fit; the first is the first row."""

    rows: int = 0
    partitions: int = 0
    seals: int = 0
    sealed_to: str | None = None
    statements: int = 0
    not_recomputed: int = 0
    findings: tuple[Finding, ...] = ()


def verify(
    ledger: Ledger,
    exported: Sequence[NamedSeal] | None = None,
    signature: Judge | None = None,
    recompute: Recompute | None = None,
) -> Report:
    """Recompute chains, seals and statements.

    Args:
        ledger: The ledger; a reader is enough.
        exported: Seals from outside, in order of day; without them those of the ledger itself,
            which prove less: who can rewrite the ledger can rewrite them.
        signature: Judges a seal's signature; without it signatures are not looked at.
        recompute: Draws a statement again; without it statements are counted only.
    """
    own, damaged = _own_seals(ledger)
    seals = own if exported is None else exported
    good = [seal for _, seal in seals if isinstance(seal, Seal)]
    scan = ledger.scan([seal.cut for seal in good])
    statements = _Statements(ledger, recompute)
    findings = [
        *_rows(scan, good),
        *(() if scan.broken or scan.unreadable else _orders(scan, good)),
        *_unsealed_damage(scan),
        *damaged,
        *_progress(ledger),
        *_seals(seals, signature),
        *(_differing(own, good) if exported is not None else ()),
        *statements.findings(),
    ]
    return Report(
        rows=scan.rows,
        partitions=len(scan.tips),
        seals=len(good),
        sealed_to=good[-1].day if good else None,
        statements=statements.same,
        not_recomputed=statements.skipped,
        findings=tuple(findings[: limits.FINDINGS]),
    )


def _own_seals(ledger: Ledger) -> tuple[list[NamedSeal], list[Finding]]:
    try:
        return [(f"seal of {seal.day}", seal) for seal in ledger.seals()], []
    except LedgerError as error:
        return [], [Finding(kind="seal", text=str(error))]


def _rows(scan: Scan, seals: Sequence[Seal]) -> Iterator[Finding]:
    """Yield, for each partition, the first rows that fit neither their chain nor a seal."""
    ends = _ends(seals)
    told = set()
    for one in scan.broken:
        told.add(one.partition)
        last = one.last if _proven(one, scan, seals) else max(ends.get(one.partition, one.last), one.last)
        yield Finding(kind="row", text=one.text, partition=one.partition, row=one.row, last_row=last, key=one.key)
    fitting: dict[int, int] = {}
    for seal in seals:
        for partition, (row, digest) in sorted(seal.cut.items()):
            if partition in told:
                continue
            have = scan.tips.get(partition, (0, ""))[0]
            if have < row:
                told.add(partition)
                text = f"rows that the seal of {seal.day} covers are gone"
                yield Finding(kind="row", text=text, partition=partition, row=have + 1, last_row=ends[partition])
            elif scan.marks.get((partition, row)) != digest:
                told.add(partition)
                text = f"other rows than those that were sealed on {seal.day}, with a chain that was made anew"
                first = fitting.get(partition, 0) + 1
                yield Finding(kind="row", text=text, partition=partition, row=first, last_row=row)
            else:
                fitting[partition] = row


def _proven(one: Broken, scan: Scan, seals: Sequence[Seal]) -> bool:
    """Return whether a seal beyond the rows in question proves those that follow them."""
    beyond = [seal.cut[one.partition] for seal in seals if seal.cut.get(one.partition, (0, ""))[0] > one.last]
    return bool(beyond) and all(scan.marks.get((one.partition, row)) == digest for row, digest in beyond)


def _orders(scan: Scan, seals: Sequence[Seal]) -> Iterator[Finding]:
    """Yield the first seal whose rows follow each other in another order than was sealed."""
    for seal, order in zip(seals, scan.orders, strict=True):
        if seal.order != order:
            text = f"the rows that the seal of {seal.day} covers are not in the order in which they were recorded"
            yield Finding(kind="order", text=text)
            return


def _ends(seals: Sequence[Seal]) -> dict[int, int]:
    ends: dict[int, int] = {}
    for seal in seals:
        for partition, (row, _) in seal.cut.items():
            ends[partition] = max(ends.get(partition, 0), row)
    return ends


def _unsealed_damage(scan: Scan) -> Iterator[Finding]:
    for first, last in scan.unreadable:
        yield Finding(kind="file", text=f"rows {first} to {last} in order of recording cannot be read")
    for text in scan.damage:
        yield Finding(kind="file", text=text)


def _progress(ledger: Ledger) -> Iterator[Finding]:
    try:
        ledger.progress()
    except LedgerError as error:
        yield Finding(kind="progress", text=str(error))


def _seals(seals: Sequence[NamedSeal], signature: Judge | None) -> Iterator[Finding]:
    previous: Seal | None = None
    for name, seal in seals:
        if not isinstance(seal, Seal):
            yield Finding(kind="seal", text=f"{name}: {seal}")
            continue
        faults = [fault_of(seal, previous), signature(seal) if signature else None]
        for fault in faults:
            if fault is not None:
                yield Finding(kind="seal", text=f"{name}: {fault}")
        previous = seal


def _differing(own: Sequence[NamedSeal], exported: Sequence[Seal]) -> Iterator[Finding]:
    """Yield where the ledger's own seals are not those that were exported."""
    kept = {seal.day: seal for _, seal in own if isinstance(seal, Seal)}
    for seal in exported:
        if kept.get(seal.day) != seal:
            have = "another" if seal.day in kept else "no"
            yield Finding(kind="seal", text=f"the ledger holds {have} seal of {seal.day} than was exported")


class _Statements:
    def __init__(self, ledger: Ledger, recompute: Recompute | None) -> None:
        self._ledger, self._recompute = ledger, recompute
        self.same = self.skipped = 0

    def findings(self) -> list[Finding]:
        found: list[Finding] = []
        try:
            for fact in self._ledger.facts(kinds=[FactKind.STATEMENT.value], replaced=True):
                fault = self._fault(fact)
                if fault is not None:
                    found.append(Finding(kind="statement", text=fault, partition=fact.partition, key=fact.key))
        except LedgerError as error:
            found.append(Finding(kind="statement", text=str(error)))
        return found

    def _fault(self, fact: Fact) -> str | None:
        if self._recompute is None:
            self.skipped += 1
            return None
        try:
            made = self._recompute(fact)
        except (LedgerError, ValueError) as error:
            return f"it cannot be drawn again: {error}"
        if made != fact.body:
            return f"drawn again it differs{_first_difference(fact.body, made)}"
        self.same += 1
        return None


def _first_difference(body: str, made: str) -> str:
    one, other = json.loads(body), json.loads(made)
    names = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    return f" in {', '.join(names)}" if names else " in its bytes only"
