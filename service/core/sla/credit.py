"""From results to money: tier or other form, base, caps, stack, and one rounding at the very end."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import assert_never
from zoneinfo import ZoneInfo

from service.core import limits
from service.core.availability import money
from service.core.contract import Fee, Objective, Tier, Topology, exact
from service.core.contract.credits import HoursNotCharged, Multiplier, PerStep, ProRata, TierOfFee
from service.core.model import Span
from service.core.periods import local_days
from service.core.sla.result import Count, Credit, Line, Money, UnitResult
from service.core.sla.spans import Spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Billing:
    """What money needs beside the count.

    `whole` is the period that the monthly amount pays for; `gpu_ms` and `gpus` are those of all
    units together. `fees_of_year` and `credited_of_year` are of the periods before this one.
    """

    fee: Fee | None
    topology: Topology
    zone: ZoneInfo
    period: Span
    whole: Span
    gpu_ms: int
    gpus: int
    fees_of_year: Fraction = Fraction(0)
    credited_of_year: Fraction = Fraction(0)


NO_MONEY = Money(fee=Fraction(0), owed=Fraction(0), tier_pct=None)


def fee_of(billing: Billing, gpus: int, gpu_ms: int, inside: Spans) -> Fraction:
    """Return the fee of a unit for the period, exactly."""
    if billing.fee is None or not billing.gpu_ms:
        return Fraction(0)
    amount = exact(billing.fee.monthly_amount)
    per_tray = billing.topology.gpus_per_tray
    size = {"per_gpu": 1, "per_tray": per_tray, "per_rack": per_tray * billing.topology.trays_per_rack}
    basis = billing.fee.basis
    if basis in size:
        return amount * Fraction(gpus, size[basis]) * _part(billing, gpus, gpu_ms, inside)
    if billing.fee.proration == "none":
        share = Fraction(gpu_ms, billing.gpu_ms)
        return amount * share * Fraction(billing.period.length_ms, billing.whole.length_ms)
    return amount * Fraction(gpus, billing.gpus) * _part(billing, gpus, gpu_ms, inside)


def _part(billing: Billing, gpus: int, gpu_ms: int, inside: Spans) -> Fraction:
    """Return which part of the whole period a unit pays for."""
    if billing.fee is None or billing.fee.proration == "none":
        return Fraction(billing.period.length_ms, billing.whole.length_ms)
    if billing.fee.proration == "by_day":
        days = {day for span in inside for day in local_days(span, billing.zone)}
        return Fraction(len(days), len(local_days(billing.whole, billing.zone)))
    return Fraction(gpu_ms, gpus * billing.whole.length_ms)


def tier_of(tiers: Sequence[Tier], ratio: Fraction | None) -> Tier | None:
    """Return the tier that an availability falls into: `at_least <= U < below`."""
    if ratio is None:
        return None
    return next((tier for tier in tiers if exact(tier.at_least) <= ratio < exact(tier.below)), None)


def money_of(objective: Objective, count: Count, ratio: Fraction | None, fee: Fraction, length_ms: int) -> Money:
    """Return what one unit's count costs, before the caps of the month.

    Args:
        objective: Gives form, tiers, target and the cap per unit.
        count: As settled.
        ratio: Its availability.
        fee: Of the unit, for the period.
        length_ms: Time that the fee pays for: an hour costs `fee / length_ms * 3 600 000`.
    """
    owed, tier, _ = _form(objective, count, ratio, fee, length_ms)
    cap = _unit_cap(objective, fee)
    return Money(fee=fee, owed=owed if cap is None else min(owed, cap), tier_pct=tier)


def _unit_cap(objective: Objective, fee: Fraction) -> Fraction | None:
    cap = objective.credits.caps.per_unit_pct
    return None if cap is None else fee * exact(cap) / 100


def explained(objective: Objective, unit: UnitResult) -> tuple[Line, ...]:
    """Return the steps from a unit's count to what it costs, with their numbers."""
    fee = unit.money.fee
    ratio = unit.bounds.settled if unit.bounds is not None else None
    owed, _, lines = _form(objective, unit.settled, ratio, fee, unit.time_ms)
    found = [Line(name=name, text=text()) for name, text in lines]
    cap = _unit_cap(objective, fee)
    if cap is not None and owed > cap:
        found.append(Line(name="cap per unit", text=f"{_text(owed)} -> {_text(cap)}"))
    return tuple(found)


_Told = tuple[tuple[str, Callable[[], str]], ...]  # a line's name, and its text once somebody asks


def _form(
    objective: Objective, count: Count, ratio: Fraction | None, fee: Fraction, length_ms: int
) -> tuple[Fraction, Decimal | None, _Told]:
    form = objective.credits.form
    match form:
        case TierOfFee():
            tier = tier_of(objective.tiers, ratio)
            if tier is None:
                return Fraction(0), None, ()
            owed = fee * exact(tier.pct) / 100
            return (
                owed,
                tier.pct,
                (
                    ("tier", lambda: f"{tier.at_least} <= U < {tier.below}: {tier.pct} %"),
                    ("base", lambda: f"{tier.pct} % of {_text(fee)} = {_text(owed)}"),
                ),
            )
        case ProRata() | PerStep() | Multiplier() | HoursNotCharged():
            paid, text = _of_time(form, objective, count, fee, length_ms)
            return paid, None, ((form.kind, lambda: text),) if paid else ()
        case _:
            assert_never(form)


def _of_time(
    form: ProRata | PerStep | Multiplier | HoursNotCharged,
    objective: Objective,
    count: Count,
    fee: Fraction,
    length_ms: int,
) -> tuple[Fraction, str]:
    down, price = Fraction(count.down_ms), fee / length_ms if length_ms else Fraction(0)
    match form:
        case ProRata():
            over = down - (1 - exact(objective.target)) * count.denominator_ms
            paid = Fraction(0) if over <= 0 else down if form.base == "all" else over
        case PerStep():
            full, rest = divmod(down, form.step_ms)
            steps = full + (1 if rest and form.mode == "started" else 0)
            return fee * exact(form.pct) * steps / 100, f"{steps} steps of {form.pct} % of {_text(fee)}"
        case Multiplier():
            grown = down * exact(form.factor)
            paid = Fraction(-(-grown // form.round_up_ms) * form.round_up_ms)
            paid = paid if form.cap_ms is None else min(paid, Fraction(form.cap_ms))
        case HoursNotCharged():
            paid = Fraction(count.free_hours * limits.HOUR_MS)
        case _:
            assert_never(form)
    return price * paid, f"{_text(paid)} ms at {_text(fee)} / {length_ms} ms = {_text(price * paid)}"


def credit_of(objective: Objective, units: Iterable[UnitResult], total_fee: Fraction, billing: Billing) -> Credit:
    """Return an objective's credit: bases summed, caps applied, rounded once.

    Args:
        objective: Gives base and caps.
        units: With their money.
        total_fee: Of everything that the objective tests, for the period.
        billing: Fees and credits of the year before this period.
    """
    listed = tuple(units)
    worst = max((unit.money.tier_pct for unit in listed if unit.money.tier_pct is not None), default=None)
    base, owed, lines = _based(objective, listed, total_fee, worst)
    capped, capping = _capped(objective, owed, total_fee, billing)
    free, free_amount = _free(listed)
    amount = money(capped)
    rounding = Line(name="rounded", text=f"{_text(capped)} -> {amount} (half to even)")
    return Credit(
        amount=amount,
        tier_pct=worst,
        exact=capped,
        base=base,
        uncapped=owed,
        free_hours=free,
        free_amount=money(free_amount),
        lines=(*lines, *capping, rounding) if owed else (),
    )


def _based(
    objective: Objective, units: Sequence[UnitResult], total_fee: Fraction, worst: Decimal | None
) -> tuple[Fraction, Fraction, tuple[Line, ...]]:
    base = objective.credits.base or "affected_unit_fee"
    if base == "affected_unit_fee" or objective.unit in {"pool", "site"} or worst is None:
        paying = [unit for unit in units if unit.money.owed]
        owed = sum((unit.money.owed * unit.count for unit in paying), start=Fraction(0))
        fees = sum((unit.money.fee * unit.count for unit in paying), start=Fraction(0))
        return fees, owed, tuple(_lines(objective, paying))
    owed = total_fee * exact(worst) / 100
    return total_fee, owed, (Line(name=base, text=f"{worst} % of {_text(total_fee)} = {_text(owed)}"),)


def _lines(objective: Objective, paying: Sequence[UnitResult]) -> Iterable[Line]:
    for unit in itertools.islice(paying, limits.FORMULA_LINES):
        for line in explained(objective, unit):
            yield replace(line, name=f"{unit.name}: {line.name}")
    if len(paying) > limits.FORMULA_LINES:
        yield Line(name="further units", text=f"{len(paying) - limits.FORMULA_LINES}, each in its own result")


def _capped(
    objective: Objective, owed: Fraction, total_fee: Fraction, billing: Billing
) -> tuple[Fraction, tuple[Line, ...]]:
    caps, before = objective.credits.caps, billing.credited_of_year
    limits_of: list[tuple[str, Fraction]] = []
    if caps.per_month_pct is not None:
        limits_of.append(("cap per month", total_fee * exact(caps.per_month_pct) / 100))
    if caps.per_year_pct is not None:
        of_year = (billing.fees_of_year + total_fee) * exact(caps.per_year_pct) / 100
        limits_of.append(("cap per year", max(of_year - before, Fraction(0))))
    if caps.annual_money is not None:
        limits_of.append(("cap per year in money", max(exact(caps.annual_money) - before, Fraction(0))))
    lines = []
    for name, limit in limits_of:
        if owed > limit:
            lines.append(Line(name=name, text=f"{_text(owed)} -> {_text(limit)}"))
            owed = limit
    return owed, tuple(lines)


def _free(units: Sequence[UnitResult]) -> tuple[int, Fraction]:
    hours, amount = 0, Fraction(0)
    for unit in units:
        free = unit.settled.free_hours * unit.count
        hours += free
        amount += unit.money.fee * free * limits.HOUR_MS / unit.time_ms if free else 0
    return hours, amount


def stacked(objectives: Sequence[tuple[Objective, Credit]]) -> Decimal:
    """Return what a tenant's objectives owe together."""
    amounts = [credit.amount for _, credit in objectives]
    if objectives and objectives[0][0].credits.stack == "max":
        return max(amounts)
    return sum(amounts, start=Decimal(0))


def _text(value: Fraction) -> str:
    """Return an exact number as people read it: whole, or a fraction beside six digits cut."""
    if value.denominator == 1:
        return str(value.numerator)
    scaled = abs(value) * 10**6
    whole, rest = divmod(scaled.numerator // scaled.denominator, 10**6)
    return f"{'-' if value < 0 else ''}{whole}.{rest:06d}"
