"""The value of ``--sweep``: what is swept, from where to where, at how many points."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

import click

from inferline.units import NANO, parse_duration_ns
from planner.sweep import SWEEPS, Quantity

__all__ = ["Range", "SweepRange"]

POINTS = 8
MOST_POINTS = 200
_RANGE = re.compile(r"(?P<name>[a-z]+)=(?P<first>.+?)\.\.(?P<last>.+?)(?::(?P<points>[0-9]{1,9}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRange:
    """What is swept, and over which values."""

    quantity: Quantity
    values: tuple[Decimal, ...]


class Range(click.ParamType[SweepRange]):
    """A sweep option: ``slo=100ms..1s``, ``rate=0.5..2`` or ``percentile=90..99.9``; ``:9`` after it for 9 points."""

    name = "range"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> SweepRange:
        """Read the range, or say what would be accepted."""
        match = _RANGE.fullmatch(str(value).strip())
        if match is None or match["name"] not in SWEEPS:
            self.fail(
                f"{value!r} is no sweep; write slo=100ms..1s, rate=0.5..2 or percentile=90..99.9, :9 for 9 points",
                param,
                ctx,
            )
        try:
            first, last = (_end(match["name"], match[end].strip()) for end in ("first", "last"))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        points = int(match["points"] or POINTS)
        if not 2 <= points <= MOST_POINTS:
            self.fail(f"{points} points in {value!r}; 2 to {MOST_POINTS} are accepted", param, ctx)
        if first == last:
            self.fail(f"both ends of {value!r} are the same; a sweep needs two different ones", param, ctx)
        quantity = SWEEPS[match["name"]]
        return SweepRange(quantity=quantity, values=quantity.spread(first, last, points))


def _end(name: str, text: str) -> Decimal:
    """Read one end of a range: seconds, a factor or a percentile."""
    if name == "slo":
        nanoseconds = parse_duration_ns(text)
        if nanoseconds == 0:
            raise ValueError(f"{text!r} is no SLO; it is above 0")
        return (Decimal(nanoseconds) / NANO).normalize()
    number = Decimal(text) if re.fullmatch(r"[0-9]{0,9}\.?[0-9]{0,9}", text) and re.search("[0-9]", text) else None
    if name == "rate" and (number is None or number == 0):
        raise ValueError(f"{text!r} is no factor on the rate; write a number above 0, like 0.5 or 2")
    if number is None or not 0 < number < 100:
        raise ValueError(f"{text!r} is no percentile; write a number above 0 and below 100, like 99.9")
    return number
