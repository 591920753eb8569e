"""What the published search asks of whoever judges configurations: a Protocol, met by each estimator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from inferline.domain import Configuration
from planner.problem import Problem

__all__ = ["Oracle"]

Answer = TypeVar("Answer")


class Oracle(Protocol):
    """Judges configurations of one problem: by its trace (`planner.Estimator`), or by many worlds."""

    problem: Problem
    threads: int

    def feasible(self, configuration: Configuration) -> bool:
        """Whether the configuration is good enough, limits and bounds aside."""

    def least_replicas(self, stage: str, hardware: str, max_batch: int) -> int:
        """Return a number of replicas below which no configuration is feasible."""

    def evaluate(self, questions: Sequence[Callable[[], Answer]]) -> list[Answer]:
        """Return the answers to independent questions, in their order."""

    def trim(self) -> None:
        """Forget what takes too much memory; nothing is being evaluated."""
