"""What-if changes of a pipeline: pure functions, each from a pipeline to a pipeline."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from inferline.domain import Hardware, Pipeline, Slo, Stage
from inferline.errors import InputError
from inferline.units import MAX_TIME_NS, parse_duration_ns, parse_price_nano_usd

__all__ = ["Price", "check_factor", "with_price_factors", "with_prices", "with_probability", "with_slo"]

Price = str | float
"""``"$3.06/h"``, a bare number of dollars per hour, or a factor on today's price: ``"1.5x"``."""

_MOST_NANO_USD = parse_price_nano_usd(1_000_000)


def check_factor(name: str, factor: float, *, zero: bool = False) -> Fraction:
    """Return a factor exactly as its shortest text says, after checking that it is a finite number above 0.

    Parameters
    ----------
    name
        What to call it when it is wrong.
    factor
        The number.
    zero
        Whether 0 is accepted too.
    """
    wanted = "0 or more" if zero else "above 0"
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not math.isfinite(factor):
        raise InputError(f"{name}: {factor!r} is not a number {wanted}")
    if factor < 0 or (factor == 0 and not zero):
        raise InputError(f"{name}: {factor!r} is not {wanted}")
    return Fraction(str(factor))


def with_slo(
    pipeline: Pipeline,
    latency: str | float | None = None,
    percentile: float | str | Decimal | None = None,
    factor: float | None = None,
) -> Pipeline:
    """Return the pipeline with another SLO; what is not given stays as it is.

    Parameters
    ----------
    pipeline
        What is changed.
    latency
        ``"200ms"``, or a bare number of seconds.
    percentile
        In (0, 100].
    factor
        On the latency, instead of ``latency``: 0.5 halves it.
    """
    latency_ns, at = pipeline.slo.latency_ns, pipeline.slo.percentile
    if latency is not None and factor is not None:
        raise InputError("with_slo: give either latency or factor, not both")
    if latency is not None:
        latency_ns = parse_duration_ns(latency)
    if factor is not None:
        latency_ns = round(latency_ns * check_factor("factor", factor))
    if not 1 <= latency_ns <= MAX_TIME_NS:
        raise InputError(f"with_slo: a latency of {latency_ns} ns is outside [1 ns, 146 years]")
    if percentile is not None:
        try:
            at = Decimal(str(percentile))
        except InvalidOperation:
            at = Decimal("NaN")
        if not at.is_finite() or not 0 < at <= 100:
            raise InputError(f"with_slo: percentile {percentile!r} is not above 0 and at most 100")
        at = Decimal(int(at)) if at == int(at) else at
    return replace(pipeline, slo=Slo(latency_ns=latency_ns, percentile=at))


def with_prices(pipeline: Pipeline, prices: Mapping[str, Price]) -> Pipeline:
    """Return the pipeline with other prices of the named hardware."""
    names = [unit.name for unit in pipeline.hardware]
    for name in prices:
        if name not in names:
            raise InputError(f"with_prices: no hardware {name!r}; there is {', '.join(names)}")
    return _repriced(pipeline, lambda unit: _price(prices[unit.name], unit) if unit.name in prices else _today(unit))


def with_price_factors(pipeline: Pipeline, accelerated: float = 1.0, other: float = 1.0) -> Pipeline:
    """Return the pipeline with the prices of all hardware with, and of all without, an accelerator multiplied."""
    with_accelerator = check_factor("accelerated", accelerated, zero=True)
    without = check_factor("other", other, zero=True)
    return _repriced(pipeline, lambda unit: _times(unit, without if unit.accelerator is None else with_accelerator))


def with_probability(pipeline: Pipeline, parent: str, child: str, probability: float) -> Pipeline:
    """Return the pipeline with another probability on one edge."""
    edges = [(edge.parent, stage.name) for stage in pipeline.stages for edge in stage.parents]
    if (parent, child) not in edges:
        known = ", ".join(f"{a!r} -> {b!r}" for a, b in edges) or "none"
        raise InputError(f"with_probability: no edge {parent!r} -> {child!r}; the edges are: {known}")
    check_factor("probability", probability, zero=True)
    if probability > 1:
        raise InputError(f"probability: {probability!r} is above 1")
    changed = replace(
        pipeline, stages=tuple(_on_edge(stage, parent, child, probability) for stage in pipeline.stages)
    )
    label = next(edge.choice for edge in changed.stage(child).parents if edge.parent == parent)
    if label is not None:
        # Exact decimals, as the file reader adds them: 0.7 + 0.2 + 0.1 is no more than 1.
        total = sum(Fraction(str(e.probability)) for _, e in changed.children(parent) if e.choice == label)
        if total > 1:
            raise InputError(
                f"probability: {probability!r} makes the edges of choice {label!r} sum to {float(total):g}; at most 1"
            )
    return changed


def _on_edge(stage: Stage, parent: str, child: str, probability: float) -> Stage:
    if stage.name != child:
        return stage
    return replace(
        stage,
        parents=tuple(
            replace(edge, probability=float(probability)) if edge.parent == parent else edge for edge in stage.parents
        ),
    )


def _repriced(pipeline: Pipeline, price: Callable[[Hardware], int]) -> Pipeline:
    return replace(
        pipeline,
        hardware=tuple(replace(unit, price_nano_usd_per_hour=price(unit)) for unit in pipeline.hardware),
    )


def _price(price: Price, unit: Hardware) -> int:
    """Return a price as whole nano-dollars per hour; a text that ends in x is a factor."""
    if isinstance(price, str) and price.strip().lower().endswith("x"):
        try:
            factor = float(price.strip()[:-1])
        except ValueError:
            raise InputError(
                f"with_prices: {price!r} is neither a price like $3.06/h nor a factor like 1.5x"
            ) from None
        return _times(unit, check_factor(f"price of {unit.name!r}", factor, zero=True))
    return parse_price_nano_usd(price)


def _times(unit: Hardware, factor: Fraction) -> int:
    nano_usd = round(unit.price_nano_usd_per_hour * factor)
    if nano_usd > _MOST_NANO_USD:
        raise InputError(f"the price of {unit.name!r} would pass $1000000/h, the most that is accepted")
    return nano_usd


def _today(unit: Hardware) -> int:
    return unit.price_nano_usd_per_hour
