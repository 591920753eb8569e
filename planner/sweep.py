"""Cost against one figure of the problem: the same problem planned at several values of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import partial
from types import MappingProxyType

from inferline.domain import Plan
from inferline.units import NANO
from planner.outcome import Infeasible, Step
from planner.plan import TIME_LIMIT_S, plan_of, search
from planner.problem import Problem
from planner.variations import Profiles, with_latency, with_percentile, with_rate

__all__ = ["SWEEPS", "Quantity", "SweepPoint", "sweep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What can be swept.

    Parameters
    ----------
    name
        ``slo``: the SLO's latency in seconds; ``rate``: a factor on the rate of the trace; ``percentile``.
    spread
        From the first value, the last one and the number of points to the values.
    vary
        The problem, with that value.
    """

    name: str
    spread: Callable[[Decimal, Decimal, int], tuple[Decimal, ...]]
    vary: Callable[[Problem, Profiles, Decimal], Problem]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint:
    """What one value of the swept figure gives.

    Parameters
    ----------
    value
        Seconds, a factor, or a percentile.
    answer
        The plan, or why there is none.
    interrupted
        Whether somebody ended the search; then no other point follows.
    """

    value: Decimal
    answer: Plan | Infeasible
    interrupted: bool = False


def sweep(
    problem: Problem,
    profiles: Profiles,
    quantity: Quantity,
    values: Sequence[Decimal],
    planner: str,
    *,
    time_limit_s: float = TIME_LIMIT_S,
    survive: int = 0,
    observe: Callable[[int, Step | None], None] = lambda _, __: None,
) -> Iterator[SweepPoint]:
    """Plan the problem at each value, and yield each point as soon as it is there.

    Parameters
    ----------
    problem, profiles
        What is varied, and the profiles it was posed with.
    quantity, values
        What is varied, and its values in the order in which they are planned.
    planner, time_limit_s, survive
        As for `planner.search`; the time limit holds for each point.
    observe
        Told the number of the point, counted from 0, and every step of its search; None for the step when it begins.

    Raises
    ------
    ValueError
        When a value cannot be: a percentile of 0, a factor that makes the trace longer than 146 years.
    """
    for place, value in enumerate(values):
        observe(place, None)
        varied = quantity.vary(problem, profiles, value)
        found = search(
            varied,
            planner,
            time_limit_s=time_limit_s,
            survive=survive,
            observe=partial(observe, place),
        )
        if isinstance(found, Infeasible) and found.interrupted:
            return  # a point that was not planned is no point
        if isinstance(found, Infeasible):
            yield SweepPoint(value=value, answer=found)
            continue
        # Digests of files would say that the plan is for them as they are.
        answer = plan_of(varied, found, planner, {}, survive)
        yield SweepPoint(value=value, answer=answer, interrupted=found.interrupted)
        if found.interrupted:
            return


def geometric(first: Decimal, last: Decimal, points: int) -> tuple[Decimal, ...]:
    """Return values at equal ratios, both ends as given and the others rounded to few digits; equal ones once.

    Parameters
    ----------
    first, last
        Above 0, in any order.
    points
        At least 2.

    Examples
    --------
    >>> [str(value) for value in geometric(Decimal("0.1"), Decimal("1"), 4)]
    ['0.1', '0.215', '0.464', '1']
    """
    if first == last:
        return (first,)
    ratio = (last / first) ** (Decimal(1) / (points - 1))
    # Enough digits that neighbours stay apart: three for steps of a tenth and more.
    digits = 2 - min(-1, math.floor(math.log10(abs(ratio - 1))))
    inner = (_rounded(first * ratio**place, digits) for place in range(1, points - 1))
    return tuple(dict.fromkeys((first, *inner, last)))


def whole_nanoseconds(first: Decimal, last: Decimal, points: int) -> tuple[Decimal, ...]:
    """Return `geometric` values in seconds that are whole nanoseconds."""
    exact = (value.quantize(Decimal("1e-9"), ROUND_HALF_EVEN) for value in geometric(first, last, points))
    return tuple(dict.fromkeys(_plain(value) for value in exact))


def even_nines(first: Decimal, last: Decimal, points: int) -> tuple[Decimal, ...]:
    """Return percentiles evenly spaced in -log(1 - p/100): each point lets the same ratio fewer queries be late.

    Examples
    --------
    >>> [str(value) for value in even_nines(Decimal(90), Decimal("99.9"), 3)]
    ['90', '99', '99.9']
    """
    return tuple(_plain(100 - late) for late in geometric(100 - first, 100 - last, points))


def _rounded(value: Decimal, digits: int) -> Decimal:
    return _plain(value.quantize(Decimal(1).scaleb(value.adjusted() - digits + 1), ROUND_HALF_EVEN))


def _plain(value: Decimal) -> Decimal:
    """Return the number without zeros at its end, and without an exponent: 90, not 9E+1 nor 90.0."""
    return Decimal(int(value)) if value == int(value) else value.normalize()


def _at_latency(problem: Problem, profiles: Profiles, value: Decimal) -> Problem:
    return with_latency(problem, profiles, int(value * NANO))


def _at_rate(problem: Problem, profiles: Profiles, value: Decimal) -> Problem:
    return with_rate(problem, profiles, float(value))


SWEEPS: Mapping[str, Quantity] = MappingProxyType(
    {
        "slo": Quantity(name="slo", spread=whole_nanoseconds, vary=_at_latency),
        "rate": Quantity(name="rate", spread=geometric, vary=_at_rate),
        "percentile": Quantity(name="percentile", spread=even_nines, vary=with_percentile),
    }
)
"""Everything that can be swept, by name."""
