"""Amounts: a fixed number, or a range from which one is drawn each time, as options of actions take them."""

from __future__ import annotations

import math
import random
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_serializer, model_validator


class Span(BaseModel):
    """An inclusive range from which a number is drawn each time; written `"1..100"` in scenario files."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    low: int
    high: int

    @model_validator(mode="after")
    def _ordered(self) -> Span:
        if self.low > self.high:
            raise ValueError(f"the range {self} is upside down")
        return self

    @model_serializer
    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


def _read_amount(value: Any) -> Any:
    """Accept `5`, `"5"`, `"1..5"` and `Span(...)`; refuse booleans, which Python counts as integers."""
    if isinstance(value, bool):
        raise ValueError("must be a whole number or a range such as 1..100")
    if isinstance(value, str):
        low, dots, high = value.replace("_", "").partition("..")
        try:
            ends = [int(low), int(high)] if dots else [int(low)]
        except ValueError as error:
            raise ValueError(f"must be a whole number or a range such as 1..100, not {value!r}") from error
        if ends != sorted(ends):
            raise ValueError(f"the range {value} is upside down: write {high}..{low}")
        return Span(low=ends[0], high=ends[1]) if dots else ends[0]
    return value


def _within(low: int, high: int) -> BeforeValidator:
    def check(value: Any) -> Any:
        amount = _read_amount(value)
        ends = (amount.low, amount.high) if isinstance(amount, Span) else (amount,)
        if not all(isinstance(end, int) and low <= end <= high for end in ends):
            raise ValueError(f"must be from {low:,} to {high:,}, not {value}")
        return amount

    return BeforeValidator(check)


# A fixed number, or a range to draw from. The bounds are generous and exist to catch slips of the keyboard.
FileCount: TypeAlias = Annotated[int | Span, _within(1, 10_000_000)]
FileBytes: TypeAlias = Annotated[int | Span, _within(0, 1 << 40)]
Depth: TypeAlias = Annotated[int | Span, _within(0, 64)]
Percent: TypeAlias = Annotated[int, Field(ge=0, le=100)]
PercentAboveZero: TypeAlias = Annotated[int, Field(ge=1, le=100)]


def draw(amount: int | Span, draws: random.Random) -> int:
    """The number itself, or one drawn evenly from its range."""
    return draws.randint(amount.low, amount.high) if isinstance(amount, Span) else amount


def draw_size(size_bytes: int | Span, distribution: str, draws: random.Random) -> int:
    """A file's size in bytes from its range."""
    if not isinstance(size_bytes, Span) or distribution == "uniform":
        return draw(size_bytes, draws)
    # One more than the size, so that a range may begin at 0.
    low, high = math.log(size_bytes.low + 1), math.log(size_bytes.high + 1)
    return min(size_bytes.high, max(size_bytes.low, round(math.exp(draws.uniform(low, high))) - 1))
