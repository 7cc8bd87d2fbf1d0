"""When a unit is up: how its members roll up, what happens below the threshold, what spares do."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from service.core.contract.values import DurationMs, Model, only

Unit = Literal["gpu", "tray", "node", "rack", "nvlink_domain", "site", "pool"]
Level = Literal["gpu", "tray", "rack"]
Kind = Literal["all_of", "k_of_n", "weighted", "capacity_at_least"]

Count = Annotated[int, Field(ge=1, le=10_000_000)]

# Unit: (kinds it can have, levels its members can have), the default first.
_RULES: dict[Unit, tuple[tuple[Kind, ...], tuple[Level, ...]]] = {
    "gpu": (("all_of",), ("gpu",)),
    "tray": (("all_of", "k_of_n", "weighted", "capacity_at_least"), ("gpu",)),
    "node": (("all_of", "k_of_n", "weighted", "capacity_at_least"), ("gpu",)),
    "rack": (("all_of", "k_of_n", "weighted", "capacity_at_least"), ("tray", "gpu")),
    "nvlink_domain": (("all_of", "k_of_n", "weighted", "capacity_at_least"), ("tray", "gpu")),
    "site": (("all_of", "k_of_n", "weighted", "capacity_at_least"), ("gpu", "tray", "rack")),
    "pool": (("weighted", "all_of", "k_of_n", "capacity_at_least"), ("gpu", "tray", "rack")),
}


SMALL: tuple[Unit, ...] = ("gpu", "tray", "node")  # units within a rack


class SparePolicy(Model):
    """Which spares may serve for a failed part, and how soon a swap counts as if nothing had failed.

    A swap within `swap_grace_ms` of the failure leaves nothing to count before it; a later one
    leaves everything.
    """

    counts: Literal["contracted_only", "any_healthy_in_rack", "any_in_pool"] = "contracted_only"
    swap_grace_ms: DurationMs = 0
    same_domain_required: bool = False


class UpRule(Model):
    """How members make a unit.

    `all_of` is up while every member is; `k_of_n` and `capacity_at_least` while at least `k` are;
    `weighted` is down by the share of members that are. `below_k` says what fewer than `k` cost:
    the unit (`down`), the share that is missing (`pro_rata`), or, tested in a smaller unit than the
    rack, every unit of a rack with fewer than `k` trays (`rack_down`: cordon and drain).
    """

    kind: Kind | None = None
    members: Level | None = None
    n: Count | None = None
    k: Count | None = None
    below_k: Literal["down", "pro_rata", "rack_down"] = "down"
    spare_policy: SparePolicy = SparePolicy()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.k is not None and self.n is not None and self.k > self.n:
            msg = f"k {self.k} of n {self.n} can never be up"
            raise ValueError(msg)
        needs_k = self.kind in {"k_of_n", "capacity_at_least"} or self.below_k == "rack_down"
        if needs_k != (self.k is not None):
            msg = "k belongs to k_of_n, capacity_at_least and rack_down, and they need it"
            raise ValueError(msg)
        return self

    def kind_of(self, unit: Unit) -> Kind:
        """Return the kind, by default that of the unit: `weighted` for a pool, else `all_of`."""
        return self.kind or _RULES[unit][0][0]

    def level_of(self, unit: Unit) -> Level:
        """Return what the members are, by default trays of a rack and GPUs of everything else."""
        return self.members or _RULES[unit][1][0]

    def check(self, unit: Unit) -> None:
        """Refuse a rule that a unit cannot have.

        Raises:
            ValueError: Naming what the unit allows.
        """
        kinds, levels = _RULES[unit]
        if self.kind_of(unit) not in kinds or self.level_of(unit) not in levels:
            msg = f"a {unit} is made by {' or '.join(kinds)} of {' or '.join(levels)}"
            raise ValueError(msg)
        cordons = self.below_k == "rack_down" and unit not in {"rack", "nvlink_domain"}
        if cordons and self.kind_of(unit) != ("weighted" if unit in {"pool", "site"} else "all_of"):
            msg = "rack_down takes every unit of a rack: below a rack with all_of, in a pool with weighted"
            raise ValueError(msg)
        if self.below_k == "pro_rata" and self.kind_of(unit) == "weighted":
            msg = "weighted is already pro rata: below_k has nothing to say"
            raise ValueError(msg)


Requirement = Literal["power", "host", "gpu_healthy", "nvlink_domain", "scale_out_net", "storage", "mgmt_access"]
COMPUTED_REQUIREMENTS: tuple[Requirement, ...] = ("power", "host", "gpu_healthy", "nvlink_domain", "scale_out_net")


def _computed(values: tuple[Requirement, ...]) -> tuple[Requirement, ...]:
    judge = only(*COMPUTED_REQUIREMENTS)
    for value in values:
        judge(value)
    return values


RequirementsComputed = AfterValidator(_computed)
