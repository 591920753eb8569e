"""What a replica runs on and what that costs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ISOLATIONS", "Hardware"]

ISOLATIONS = ("gvisor", "kata")
"""Sandboxes that containers can run in: a kernel of their own in user space, or in a light virtual machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """One kind of hardware unit; a replica occupies exactly one unit.

    Parameters
    ----------
    name
        Name in the pipeline file and in the profiles.
    price_nano_usd_per_hour
        Price of one unit, in whole nano-dollars per hour, so that sums are exact.
    cpus
        Processor cores of a unit.
    accelerator
        Kind of accelerator, or None.
    accelerators
        Accelerators in a unit.
    limit
        Most units that all stages together may use; None for no limit.
    isolation
        What replicas are kept apart from the machine by, one of `ISOLATIONS`; None for what the place does anyway.
    """

    name: str
    price_nano_usd_per_hour: int
    cpus: float = 1.0
    accelerator: str | None = None
    accelerators: int = 0
    limit: int | None = None
    isolation: str | None = None

    def __post_init__(self) -> None:
        if self.price_nano_usd_per_hour < 0:
            raise ValueError(f"hardware {self.name!r}: price {self.price_nano_usd_per_hour} is negative")
        if self.limit is not None and self.limit < 0:
            raise ValueError(f"hardware {self.name!r}: limit {self.limit} is negative")
