"""Kinds of values that a contract holds, each judged strictly at the door.

Durations are `int` ms, ratios decimal strings, money decimal with the contract's currency. What
the engine does not compute is refused with its key: a promise that nobody counts would be a lie.
"""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from service.core import limits
from service.core.model import NAME_PATTERN
from service.core.periods import parse_utc


class Model(BaseModel):
    """Base of all contract models: frozen, strict, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def listed(value: Any) -> Any:  # noqa: ANN401 -- what YAML held; pydantic judges the rest
    """Return a list as the tuple that a frozen model keeps."""
    return tuple(value) if isinstance(value, list) else value


def _time(value: Any) -> Any:  # noqa: ANN401
    return parse_utc(value) if isinstance(value, str) else value


def _decimal(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, float):
        msg = "write it in quotes: a float is not exact"
        raise ValueError(msg)  # noqa: TRY004 -- pydantic wants ValueError
    if not isinstance(value, str | int) or isinstance(value, bool):
        return value
    try:
        return Decimal(value)
    except ArithmeticError as error:
        msg = f"{value!r} is no decimal number"
        raise ValueError(msg) from error


def uncomputed(value: Any) -> Any:  # noqa: ANN401
    """Refuse a term that is in the schema and not yet in the engine; saying nothing there is fine."""
    if value is None or value == ():
        return value
    raise PydanticCustomError("not_computed", "not computed by this version: leave it out")


def only(*computed: Any) -> Callable[[Any], Any]:  # noqa: ANN401
    """Return a validator that lets pass what the engine computes and refuses the rest of the schema."""

    def judge(value: Any) -> Any:  # noqa: ANN401
        if value not in computed:
            allowed = " or ".join(repr(one) for one in computed)
            raise PydanticCustomError(
                "not_computed", "not computed by this version: only {allowed}", {"allowed": allowed}
            )
        return value

    return judge


@lru_cache(maxsize=limits.EXACT_KEPT)
def exact(value: Decimal) -> Fraction:
    """Return a decimal as the fraction it spells: 0.999 is 999/1000."""
    return Fraction(value)


_DECIMAL_TEXT: dict[str, Any] = {"anyOf": [{"type": "string", "pattern": r"^\d+(\.\d+)?$"}, {"type": "integer"}]}
_TIME_TEXT: dict[str, Any] = {"anyOf": [{"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT.*Z$"}, {"type": "integer"}]}

Listed = BeforeValidator(listed)
NotComputed = AfterValidator(uncomputed)
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Text = Annotated[str, Field(min_length=1, max_length=limits.REASON_LENGTH)]
TimeMs = Annotated[int, BeforeValidator(_time), WithJsonSchema(_TIME_TEXT)]
DurationMs = Annotated[int, Field(ge=0, le=limits.CONTRACT_DURATION_MS)]
Amount = Annotated[Decimal, BeforeValidator(_decimal), Field(ge=0, max_digits=18), WithJsonSchema(_DECIMAL_TEXT)]
Ratio = Annotated[Decimal, BeforeValidator(_decimal), Field(ge=0, le=1, max_digits=12), WithJsonSchema(_DECIMAL_TEXT)]
Percent = Annotated[Decimal, BeforeValidator(_decimal), Field(gt=0, le=100), WithJsonSchema(_DECIMAL_TEXT)]
Factor = Annotated[Decimal, BeforeValidator(_decimal), Field(gt=0, le=1000), WithJsonSchema(_DECIMAL_TEXT)]
