"""A configuration: hardware, maximum batch size and replicas for every stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from inferline.domain.pipeline import Pipeline

__all__ = ["Configuration", "StageConfiguration"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class StageConfiguration:
    """What one stage runs with.

    Parameters
    ----------
    hardware
        Name of the hardware of every replica.
    max_batch
        Maximum batch size, at least 1.
    replicas
        Number of replicas, at least 1.
    """

    hardware: str
    max_batch: int
    replicas: int

    def __post_init__(self) -> None:
        if self.max_batch < 1 or self.replicas < 1:
            raise ValueError(f"max_batch {self.max_batch} and replicas {self.replicas} are at least 1")


class Configuration(Mapping[str, StageConfiguration]):
    """One `StageConfiguration` per stage, by stage name; hashable and immutable.

    Parameters
    ----------
    stages
        Configuration of every stage.
    """

    __slots__ = ("_key", "_stages")

    def __init__(self, stages: Mapping[str, StageConfiguration]) -> None:
        self._stages = dict(stages)
        self._key = tuple(sorted(self._stages.items()))

    def __getitem__(self, stage: str) -> StageConfiguration:
        return self._stages[stage]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stages)

    def __len__(self) -> int:
        return len(self._stages)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Configuration) and self._key == other._key

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}: {c.hardware} x{c.replicas} b{c.max_batch}" for name, c in self.items())
        return f"Configuration({inside})"

    def with_stage(self, stage: str, configuration: StageConfiguration) -> Configuration:
        """Return this configuration with one stage changed."""
        return Configuration({**self._stages, stage: configuration})

    def cost_nano_usd_per_hour(self, pipeline: Pipeline) -> int:
        """Return what all replicas cost together, in whole nano-dollars per hour."""
        return sum(pipeline.unit(c.hardware).price_nano_usd_per_hour * c.replicas for c in self.values())

    def units(self) -> Counter[str]:
        """Return how many units of each hardware the stages use together."""
        used: Counter[str] = Counter()
        for stage in self.values():
            used[stage.hardware] += stage.replicas
        return used

    def exceeded_limits(self, pipeline: Pipeline) -> tuple[str, ...]:
        """Return the hardware of which more units are used than its limit allows."""
        used = self.units()
        return tuple(
            hardware.name
            for hardware in pipeline.hardware
            if hardware.limit is not None and used[hardware.name] > hardware.limit
        )
