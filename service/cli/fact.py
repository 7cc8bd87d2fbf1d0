"""`threenines fact …`: what people tell the ledger, each with who, why and evidence."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.options import emit, is_json
from service.cli.telling import Way, instant, tell

if TYPE_CHECKING:
    from service.core.facts import Fact

Places = Annotated[list[str], typer.Argument(help="r0001, r0001/t07, r0001/t07/g2 or r0001..r0009")]
From = Annotated[str, typer.Option("--from", help="From this instant on (UTC), 2026-07-01T00:00:00Z.")]
To = Annotated[str, typer.Option("--to", help="Up to this instant (UTC).")]
At = Annotated[str, typer.Option("--at", help="At this instant (UTC).")]
Why = Annotated[str, typer.Option("--why", help="The reason, in a sentence.")]
By = Annotated[str | None, typer.Option("--by", help="Who says it; you, by default.")]
Evidence = Annotated[list[str] | None, typer.Option("--evidence", help="Ticket, letter, link; may be repeated.")]
LedgerUrl = Annotated[str, typer.Option("--ledger", help="Ledger URL; written directly when no service owns it.")]
ServiceUrl = Annotated[str, typer.Option("--service", help="The service that takes it when it owns the ledger.")]
TokenFile = Annotated[Path | None, typer.Option("--token-file", help="Your token, for a service beyond loopback.")]
CaFile = Annotated[Path | None, typer.Option("--ca-file", help="PEM certificates to trust.")]

_LEDGER = "sqlite:///threenines.db"
_SERVICE = "http://127.0.0.1:9909"


def build() -> typer.Typer:
    """Return the commands, one a kind of fact."""
    app = typer.Typer(
        help="Tell the ledger what no machine can see: leases, acceptance, swaps, claims, decisions, corrections.\n\n"
        "Each fact is recorded once, however often it is told, and is never changed: `correct` takes it back.\n\n"
        "Example: threenines fact claim MW-12 r0001 --kind scheduled_maintenance --from 2026-07-04T02:00:00Z"
        ' --to 2026-07-04T04:00:00Z --why "driver 580.95" --evidence CHG-4711',
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for name, command in (
        ("lease", lease),
        ("accept", accept),
        ("swap", swap),
        ("claim", claim),
        ("approve", approve),
        ("refuse", refuse),
        ("stop", stop),
        ("mark", mark),
        ("assert", assert_),
        ("finalise", finalise),
        ("correct", correct),
        ("list", list_),
    ):
        app.command(name)(command)
    return app


def lease(
    tenant: Annotated[str, typer.Argument(help="Tenant id.")],
    places: Places,
    from_: From,
    to: To,
    why: Why,
    by: By = None,
    evidence: Evidence = None,
    ledger: LedgerUrl = _LEDGER,
    service: ServiceUrl = _SERVICE,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Let a tenant use places over a span.

    Example: threenines fact lease reflection r0003 --from 2026-07-01T00:00:00Z --to 2027-07-01T00:00:00Z --why LOI-3
    """
    said = {"said": "lease", "tenant": tenant, "places": places}
    tell(said, Way(ledger, service, token_file, ca_file), why, by, evidence, from_, to)


def accept(
    places: Places,
    at: At,
    why: Why,
    removed: Annotated[bool, typer.Option("--removed", help="They left the contract instead.")] = False,
    by: By = None,
    evidence: Evidence = None,
    ledger: LedgerUrl = _LEDGER,
    service: ServiceUrl = _SERVICE,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Say that places passed acceptance, or left the contract.

    Example: threenines fact accept r0003 --at 2026-07-16T00:00:00Z --why "burn-in passed" --evidence report-17.pdf
    """
    said = {"said": "acceptance", "places": places, "removed": removed}
    tell(said, Way(ledger, service, token_file, ca_file), why, by, evidence, at)


def swap(
    failed: Annotated[str, typer.Argument(help="The place that failed.")],
    spare: Annotated[str, typer.Argument(help="The place that serves instead.")],
    from_: From,
    why: Why,
    to: Annotated[str | None, typer.Option("--to", help="Until the repaired one is back; open without it.")] = None,
    by: By = None,
    evidence: Evidence = None,
    ledger: LedgerUrl = _LEDGER,
    service: ServiceUrl = _SERVICE,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Say that a spare serves for a place.

    Example: threenines fact swap r0001/t07 r0001/t18 --from 2026-07-04T10:40:00Z --why "tray 7 failed"
    """
    said = {"said": "swap", "failed": failed, "spare": spare}
    tell(said, Way(ledger, service, token_file, ca_file), why, by, evidence, from_, to)


def claim(
    claim_id: Annotated[str, typer.Argument(metavar="ID", help="Your id for the claim.")],
    places: Places,
    kind: Annotated[str, typer.Option(help="scheduled_maintenance, force_majeure, tenant_caused, …")],
    from_: From,
    to: To,
    why: Why,
    announced: Annotated[str | None, typer.Option(help="When the tenant was told (UTC).")] = None,
    by: By = None,
    evidence: Evidence = None,
    ledger: LedgerUrl = _LEDGER,
    service: ServiceUrl = _SERVICE,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Claim that time shall not count; a second person approves or refuses it.

    Example: threenines fact claim MW-12 r0001 --kind scheduled_maintenance --from 2026-07-04T02:00:00Z
    --to 2026-07-04T04:00:00Z --announced 2026-06-20T09:00:00Z --why "driver 580.95" --evidence CHG-4711
    """
    said = {"said": "claim", "claim": claim_id, "kind": kind, "places": places, "announced_ms": instant(announced)}
    tell(said, Way(ledger, service, token_file, ca_file), why, by, evidence, from_, to)


def approve(
    claim_id: Annotated[str, typer.Argument(metavar="ID", help="The claim's id.")],
    why: Why,
    by: By = None,
    evidence: Evidence = None,
    ledger: LedgerUrl = _LEDGER,
    service: ServiceUrl = _SERVICE,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Approve a claim that somebody else made.

    Example: threenines fact approve MW-12 --by bob --why "notice was in time" --evidence mail-0620.eml
    """
    said = {"said": "decision", "claim": claim_id, "approved": True}
    tell(said, Way(ledger, service, token_file, ca_file), why, by, evidence)


def refuse(
    claim_id: Annotated[str, typer.Argument(metavar="ID", help="The claim's id.")],
    why: Why,
    by: By = None,
    evidence: Evidence = None,
    ledger: LedgerUrl = _LEDGER,
    service: ServiceUrl = _SERVICE,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Refuse a claim that somebody else made.

    Example: threenines fact refuse MW-12 --by bob --why "announced two days late"
    """
    said = {"said": "decision", "claim": claim_id, "approved": False}
    tell(said, Way(ledger, service, token_file, ca_file), why, by, evidence)


def stop(
    places: Places,
    reason: Annotated[str, typer.Option(help="tenant_access_denied, tenant_defers_repair, …")],
    from_: From,
    to: To,
    why: Why,
    by: By = None,
    evidence: Evidence = None,
    ledger: LedgerUrl = _LEDGER,
    service: ServiceUrl = _SERVICE,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Say that the tenant held a repair up: the clock of an outage stands still.

    Example: threenines fact stop r0001/t07 --reason tenant_access_denied --from 2026-07-04T11:00:00Z
    --to 2026-07-04T13:00:00Z --why "cage locked" --evidence TICKET-9
    """
    said = {"said": "clock_stop", "reason": reason, "places": places}
    tell(said, Way(ledger, service, token_file, ca_file), why, by, evidence, from_, to)


def mark(
    which: Annotated[str, typer.Argument(metavar="INSTANT", help="detection, notice_received, ticket_ack, …")],
    places: Places,
    at: At,
    why: Why,
    by: By = None,
    evidence: Evidence = None,
    ledger: LedgerUrl = _LEDGER,
    service: ServiceUrl = _SERVICE,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Mark an instant of an outage from or to which a contract counts.

    Example: threenines fact mark notice_received r0001/t07 --at 2026-07-04T10:07:00Z --why "mail of the tenant"
    """
    said = {"said": "instant", "instant": which, "places": places}
    tell(said, Way(ledger, service, token_file, ca_file), why, by, evidence, at)


def assert_(
    health: Annotated[str, typer.Argument(help="up, degraded or down")],
    places: Places,
    from_: From,
    to: To,
    why: Why,
    cause: Annotated[str | None, typer.Option(help="Cause word, as in statements.")] = None,
    by: By = None,
    evidence: Evidence = None,
    ledger: LedgerUrl = _LEDGER,
    service: ServiceUrl = _SERVICE,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Say how places were, as a witness with a name.

    Example: threenines fact assert down r0001 --from 2026-07-04T10:00:00Z --to 2026-07-04T10:30:00Z
    --cause rack:power --why "busbar tripped" --evidence BMS-export.csv
    """
    said = {"said": "assertion", "places": places, "health": health, "cause": cause}
    tell(said, Way(ledger, service, token_file, ca_file), why, by, evidence, from_, to)


def finalise(
    tenant: Annotated[str, typer.Argument(help="Tenant id.")],
    month: Annotated[str, typer.Argument(help="YYYY-MM")],
    why: Why,
    by: By = None,
    evidence: Evidence = None,
    ledger: LedgerUrl = _LEDGER,
    service: ServiceUrl = _SERVICE,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Decide that a month's statement may become final, where the contract asks for it (reporting.finalise).

    Example: threenines fact finalise reflection 2026-07 --why "tenant agreed on 2026-08-09" --evidence MAIL-17
    """
    from zoneinfo import ZoneInfo

    from service.core.errors import ConfigurationError
    from service.core.periods import month_span, utc_text

    try:
        span = month_span(month, ZoneInfo("UTC"))
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    said = {"said": "finalised", "tenant": tenant, "month": month}
    tell(
        said, Way(ledger, service, token_file, ca_file), why, by, evidence, utc_text(span.from_ms), utc_text(span.to_ms)
    )


def correct(
    key: Annotated[str, typer.Argument(help="The key of the fact that does not hold; `fact list` shows keys.")],
    why: Why,
    by: By = None,
    evidence: Evidence = None,
    ledger: LedgerUrl = _LEDGER,
    service: ServiceUrl = _SERVICE,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Take a fact back; what holds instead, if anything, is told as a fact of its own.

    Example: threenines fact correct said/claim/MW-12 --why "wrong rack, see MW-13"
    """
    way = Way(ledger, service, token_file, ca_file)
    tell({"said": "correction"}, way, why, by, evidence, replaces=key)


def list_(
    ledger: LedgerUrl = _LEDGER,
    as_of: Annotated[str | None, typer.Option(help="As the ledger was at this instant (UTC).")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Also what a correction took back.")] = False,
    output: Annotated[str, typer.Option("-o", "--output", help="table or json")] = "table",
) -> None:
    """List what people told the ledger.

    Example: threenines fact list --ledger sqlite:///threenines.db --as-of 2026-08-03T00:00:00Z -o json
    """
    from service.ledger.store import SqlLedger

    as_json = is_json(output)
    book = SqlLedger(ledger, read_only=True)
    try:
        cut = None if as_of is None else book.cut(instant(as_of))
        standing = {fact.key for fact in book.facts(kinds=["operator"], up_to=cut)}
        facts = list(book.facts(kinds=["operator"], up_to=cut, replaced=all_))
    finally:
        book.close()
    listed = [_listed(fact, stands=fact.key in standing) for fact in facts]
    if as_json:
        emit(listed)
        return
    for one in listed:
        mark_ = "" if one["stands"] else " (taken back)"
        print(f"{one['key']}{mark_}: {one['from']} to {one['to'] or '-'}, by {one['said']['by']}: {one['said']['why']}")


def _listed(fact: "Fact", *, stands: bool) -> dict[str, Any]:
    import json

    from service.core.periods import utc_text

    return {
        "key": fact.key,
        "stands": stands,
        "from": utc_text(fact.from_ms),
        "to": None if fact.to_ms is None else utc_text(fact.to_ms),
        "recorded": None if fact.recorded_ms is None else utc_text(fact.recorded_ms),
        "replaces": fact.replaces,
        "said": json.loads(fact.body),
    }
