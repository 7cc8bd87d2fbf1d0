"""How weights of members make the weight of a unit."""

from fractions import Fraction

from service.core.contract.uprule import Kind
from service.core.sla.steps import Fold, Weight, worst_of


def share(members: int) -> Fold:
    """Return the mean weight over so many members."""
    return lambda weights: _mean(weights, members)


def _mean(weights: list[Weight], members: int) -> Weight:
    found = Fraction(sum(weights), members)
    return found.numerator if found.denominator == 1 else found


def at_least(k: int, members: int) -> Fold:
    """Return the weight of a unit that needs `k` members: that of the k-th best.

    With weights 0 and 1 it is down exactly while fewer than `k` are up.
    """

    def fold(weights: list[Weight]) -> Weight:
        at_zero = members - len(weights)
        if k <= at_zero:
            return 0
        return sorted(weights)[k - at_zero - 1]

    return fold


def fold_of(kind: Kind, k: int | None, members: int, *, pro_rata: bool) -> Fold:
    """Return how the members of a unit make it, by the rule of its objective.

    Raises:
        ValueError: If the rule asks for more members than the unit has.
    """
    if kind == "all_of":
        return share(members) if pro_rata else worst_of
    if kind == "weighted":
        return share(members)
    if k is None or k > members:
        msg = f"k {k} of {members} leased members can never be up"
        raise ValueError(msg)
    threshold, mean = at_least(k, members), share(members)
    return (lambda weights: mean(weights) if threshold(weights) else 0) if pro_rata else threshold
