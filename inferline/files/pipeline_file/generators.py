"""The generators of the domain in the words of the pipeline file: durations there carry their unit in the value."""

from __future__ import annotations

from inferline.domain.arrivals import GENERATORS

__all__ = ["GENERAL_KEYS", "accepted_keys", "parameter_keys", "required_keys"]

GENERAL_KEYS = ("arrivals", "duration", "seed")
"""Keys of every generator."""


def required_keys(arrivals: str) -> tuple[str, ...]:
    """Return the parameters that a generator needs, as the keys of the file."""
    return tuple(name.removesuffix("_ns") for name in GENERATORS[arrivals].required)


def parameter_keys(arrivals: str) -> dict[str, str]:
    """Return the keys that a generator takes, each with the name of its parameter."""
    spec = GENERATORS[arrivals]
    return {name.removesuffix("_ns"): name for name in (*spec.required, *spec.optional)}


def accepted_keys(arrivals: str) -> frozenset[str]:
    """Return the parameters that a generator takes, as the keys of the file."""
    return frozenset(parameter_keys(arrivals))
