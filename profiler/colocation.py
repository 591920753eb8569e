"""How much slower replicas are when several share the machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import monotonic

import numpy as np

from profiler.replica import Replica, start_replica, to_stderr
from profiler.results import Limits, Target
from profiler.schedule import draw, round_order
from profiler.statistics import mean_interval
from serving_adapter.machine import Machine, away_from, placements

__all__ = ["Pairs", "measure_together"]

_PHASE_S = 0.1
_LEAST_ROUNDS = 3
_MIN_ROUNDS = 5


@dataclass(slots=True)
class Pairs:
    """Mean latencies of one batch size, alone and together, pair by pair of neighbouring phases."""

    alone_s: list[float] = field(default_factory=list)
    together_s: list[float] = field(default_factory=list)
    spent_s: float = 0.0

    def slowdown(self) -> float:
        """Return mean latency together over mean latency alone."""
        return float(np.sum(self.together_s) / np.sum(self.alone_s))

    def enough(self, limits: Limits) -> bool:
        """Whether the slowdown is known to ``limits.precision``, or the budget is spent."""
        count = len(self.alone_s)
        if count < _LEAST_ROUNDS:
            return False
        ratios = [np.array([pair[0] / pair[1]]) for pair in zip(self.together_s, self.alone_s, strict=True)]
        mean, half_width = mean_interval(ratios)
        tight = count >= _MIN_ROUNDS and half_width <= limits.precision * mean
        return tight or self.spent_s >= limits.budget_s


def measure_together(
    target: Target,
    frames: Sequence[bytes],
    machine: Machine,
    limits: Limits,
    sizes: Sequence[int],
    observe: Callable[[dict[int, float]], None],
    tell: Callable[[str], None] = to_stderr,
) -> dict[int, float]:
    """Measure the slowdown of replicas that share the machine.

    All are kept busy at once, then the first one alone, in turn within the same seconds: pairs of neighbouring phases
    see the same state of the machine. In every other round the order is reversed.

    Parameters
    ----------
    target, frames, machine, tell
        As for `profiler.measuring.measure`.
    limits
        ``colocated`` replicas; ``precision`` and ``budget_s`` hold for the slowdown of each batch size.
    sizes
        Batch sizes.
    observe
        Shown the slowdowns so far, by batch size, after each pair.

    Returns
    -------
    dict
        Mean latency of all replicas together over that of the first alone, by batch size.

    Raises
    ------
    InputError, OutsideError
        As `profiler.measuring.measure`; ``MemoryExhausted`` when the replicas do not fit side by side.
    """
    placed = placements(machine, target.hardware, limits.colocated)
    with ExitStack() as stack:
        stack.enter_context(away_from(machine, placed))
        replicas = [
            stack.enter_context(start_replica(target.entry, each, limits, frames[:1], tell)) for each in placed
        ]
        threads = stack.enter_context(ThreadPoolExecutor(len(replicas), "replica"))
        # First of all at the end: what still waits for an answer then gets none.
        for replica in replicas:
            stack.callback(replica.kill)
        return _Phases(replicas, threads, frames, limits).measure(sizes, observe)


class _Phases:
    """Replicas that are driven alone and together in turn."""

    def __init__(
        self, replicas: Sequence[Replica], threads: ThreadPoolExecutor, frames: Sequence[bytes], limits: Limits
    ) -> None:
        self._replicas = replicas
        self._threads = threads
        self._frames = frames
        self._limits = limits

    def measure(self, sizes: Sequence[int], observe: Callable[[dict[int, float]], None]) -> dict[int, float]:
        pairs = {size: Pairs() for size in sizes}
        for size in sizes:
            self._phase(self._replicas, size, 0.0)  # warm-up
        number = 0
        while open_sizes := [size for size in sizes if not pairs[size].enough(self._limits)]:
            for size in round_order(open_sizes, number, self._limits.seed):
                self._pair(size, pairs[size], together_first=number % 2 == 1)
                observe({each: pair.slowdown() for each, pair in pairs.items() if pair.alone_s})
            number += 1
        return {size: pair.slowdown() for size, pair in pairs.items()}

    def _pair(self, size: int, pair: Pairs, *, together_first: bool) -> None:
        began_s = monotonic()
        for together in (together_first, not together_first):
            means = self._phase(self._replicas if together else self._replicas[:1], size, _PHASE_S)
            (pair.together_s if together else pair.alone_s).append(float(np.mean(means)))
        pair.spent_s += monotonic() - began_s

    def _phase(self, driven: Sequence[Replica], size: int, seconds: float) -> list[float]:
        """Drive some replicas at once for that long, at least one batch each; return the mean latency of each."""
        end_s = monotonic() + seconds
        futures = [
            self._threads.submit(_drive, replica, draw(self._frames, size, self._limits.seed + i), end_s)
            for i, replica in enumerate(driven)
        ]
        for idle in self._replicas[len(driven) :]:
            idle.attend()
        return [future.result() for future in futures]


def _drive(replica: Replica, batches: Iterator[list[bytes]], end_s: float) -> float:
    """Return the mean latency of the batches until then; where there are several, the first one counts not."""
    latencies: list[float] = []
    while not latencies or monotonic() < end_s:
        latencies.append(replica.predict(next(batches)).latency_s)
    return math.fsum(latencies[1:]) / (len(latencies) - 1) if len(latencies) > 1 else latencies[0]
