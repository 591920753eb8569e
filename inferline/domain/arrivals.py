"""Arrivals by the name of their process, as a pipeline file or a command line gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from inferline.domain.counts import SPREADS, PerSecondCounts
from inferline.domain.modulated import markov_trace, ramp_trace, square_trace
from inferline.domain.renewal import even_trace, gamma_trace, poisson_trace
from inferline.domain.trace import Trace

__all__ = ["GENERATORS", "SPREADS", "GeneratorSpec", "PerSecondCounts", "generate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSpec:
    """An arrival process and the parameters that it takes besides ``duration_ns`` and ``seed``.

    Parameters
    ----------
    function
        Draws the trace; takes keywords only.
    required, optional
        Names of its parameters. Rates are per second, and what ends in ``_ns`` is in nanoseconds.
    """

    function: Callable[..., Trace]
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


GENERATORS: Mapping[str, GeneratorSpec] = MappingProxyType(
    {
        "gamma": GeneratorSpec(function=gamma_trace, required=("rate", "cv2")),
        "poisson": GeneratorSpec(function=poisson_trace, required=("rate",)),
        "markov": GeneratorSpec(function=markov_trace, required=("rates", "stays_ns")),
        "ramp": GeneratorSpec(function=ramp_trace, required=("start_rate", "end_rate")),
        "square": GeneratorSpec(
            function=square_trace, required=("low_rate", "high_rate", "period_ns"), optional=("duty",)
        ),
        "even": GeneratorSpec(function=even_trace, required=("rate",)),
    }
)
"""Arrival processes by name."""


def generate(arrivals: str, *, duration_ns: int, seed: int = 0, **parameters: object) -> Trace:
    """Return the arrivals of a process in [0, duration).

    The same seed gives the same bytes, as far as one release of NumPy goes. Every process but ``ramp`` keeps its
    beginning when the duration grows.

    Parameters
    ----------
    arrivals
        Name of the process, one of `GENERATORS`; its function says what is drawn.
    duration_ns
        Length of the trace.
    seed
        Any integer.
    **parameters
        Parameters of the process.

    Raises
    ------
    ValueError
        When there is no such process, a parameter is missing, unknown or out of range, no arrival results, or more
        than 100,000,000 would.

    Examples
    --------
    >>> generate("even", duration_ns=2_000_000_000, rate=2).arrival_ns.tolist()
    [0, 500000000, 1000000000, 1500000000]
    """
    if arrivals not in GENERATORS:
        raise ValueError(f"unknown arrivals {arrivals!r}; accepted are {', '.join(GENERATORS)}")
    spec = GENERATORS[arrivals]
    missing = [name for name in spec.required if name not in parameters]
    unknown = [name for name in parameters if name not in spec.required + spec.optional]
    if missing or unknown:
        wrong = f"{missing[0]!r} is missing" if missing else f"{unknown[0]!r} is unknown"
        takes = ", ".join((*spec.required, *(f"{name} (optional)" for name in spec.optional)))
        raise ValueError(f"{arrivals} arrivals: {wrong}; they take {takes}")
    return spec.function(duration_ns=duration_ns, seed=seed, **parameters)
