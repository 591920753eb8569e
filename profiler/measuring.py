"""Measuring one model on one hardware: the ramp over batch sizes, then rounds over all of them in turn."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from time import monotonic
from typing import Any

from inferline.errors import OutsideError
from profiler.colocation import measure_together
from profiler.environment import environment_of
from profiler.failures import MemoryExhausted
from profiler.replica import Replica, start_replica, to_stderr
from profiler.results import Limits, Measurement, Row, Target
from profiler.schedule import BLOCK_S, Evidence, block_size, draw, next_step, round_order, seconds_left, verdict
from profiler.series import Series
from serving_adapter.machine import Machine, away_from, placements

__all__ = ["measure"]

_SHOW_EVERY_S = 0.1
_RAMP_S = 0.1
_RAMP_BATCHES = 3


def measure(
    target: Target,
    frames: Sequence[bytes],
    machine: Machine,
    limits: Limits,
    observe: Callable[[Measurement], None],
    done: Collection[int] = (),
    tell: Callable[[str], None] = to_stderr,
) -> Measurement:
    """Measure one model on one hardware at all batch sizes worth having.

    One replica is driven without a pause. First the ramp: batch sizes 1, 2, 4 ... until throughput stops rising,
    memory runs out, or the cap is reached. Then rounds: in each, every open row gets some 75 ms of batches, the rows
    in another order each time, so that a drift of the machine is no effect of the batch size. A row closes when its
    intervals are tight enough, or its budget is spent.

    Parameters
    ----------
    target
        What is measured; `serving_adapter.machine.reason_not_here` has no objection to its hardware.
    frames
        Inputs as they travel; at least one. Every row sees them all, in turn.
    machine
        This machine.
    limits
        When enough is measured.
    observe
        Shown all rows so far: after each step of the ramp and each block of a round, at most ten times a second, and
        in the end.
    done
        Batch sizes that need no row (the ramp may try them all the same).
    tell
        Told what the user should know meanwhile.

    Returns
    -------
    Measurement
        The last one that was observed.

    Raises
    ------
    InputError
        When the model's entry is wrong.
    OutsideError
        When the model fails, hangs, or does not even fit into memory at batch size 1. Memory that runs out at a
        larger size ends the ramp there. What was measured until then has been observed, also after ctrl-C.
    """
    run = _Run(target, frames, machine, limits, observe, frozenset(done), tell)
    try:
        with away_from(machine, run.placed), run:
            run.ramp()
            run.rounds()
        if limits.colocated > 1:
            run.colocate()
    except (KeyboardInterrupt, OutsideError):
        if run.rows:
            run.show()
        raise
    return run.show(finished=True)


class _Run:
    """One measurement under way."""

    def __init__(
        self,
        target: Target,
        frames: Sequence[bytes],
        machine: Machine,
        limits: Limits,
        observe: Callable[[Measurement], None],
        done: frozenset[int],
        tell: Callable[[str], None],
    ) -> None:
        self.target = target
        self.frames = frames
        self.machine = machine
        self.limits = limits
        self.placed = placements(machine, target.hardware)
        self.rows: dict[int, Row] = {}
        self._observe = observe
        self._done = done
        self._tell = tell
        self._environment: dict[str, Any] = environment_of(machine, self.placed[0])
        self._evidence: dict[int, Evidence] = {}
        self._series: dict[int, Series] = {}
        self._batches: dict[int, Iterator[list[bytes]]] = {}
        self._ended = ""
        self._load_s: float | None = None
        self._shown_s = -_SHOW_EVERY_S
        self._began_s = monotonic()
        self._stack = ExitStack()
        self._replica: Replica

    def __enter__(self) -> _Run:
        self._start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def ramp(self) -> None:
        """Try batch sizes as long as they promise more throughput."""
        while True:
            typical_s = {size: series.typical_s()[0] for size, series in self._series.items()}
            step = next_step(typical_s, self.target.max_batch)
            if step.size is None:
                self._ended = step.ended
                return
            series = self._series[step.size] = Series(size=step.size)
            try:
                self._probe(series)
            except MemoryExhausted as error:
                self._lose(step.size, error)
                return
            self._judge(series)
            self._show_in_time()

    def rounds(self) -> None:
        """Measure all rows in turn until each is known well enough."""
        for series in self._series.values():
            self._judge(series)
        number = 0
        while open_sizes := [size for size, each in self._series.items() if self._is_open(each)]:
            for size in round_order(open_sizes, number, self.limits.seed):
                if size not in self._series:  # lost in this very round
                    continue
                try:
                    self._block(self._series[size])
                except MemoryExhausted as error:
                    self._lose(size, error)
                    continue
                self._judge(self._series[size])
                self._show_in_time()
            number += 1

    def colocate(self) -> None:
        """Measure again with other replicas beside the first."""

        def take(slowdown: dict[int, float]) -> None:
            for size, factor in slowdown.items():
                self.rows[size] = replace(self.rows[size], colocated=self.limits.colocated, colocated_slowdown=factor)
            self._show_in_time()

        try:
            measure_together(self.target, self.frames, self.machine, self.limits, sorted(self.rows), take, self._tell)
        except MemoryExhausted as error:
            self._tell(f"{self.limits.colocated} replicas do not fit side by side: {error}")

    def show(self, *, finished: bool = False) -> Measurement:
        """Have all rows so far observed."""
        measurement = Measurement(
            target=self.target,
            rows=tuple(self.rows[size] for size in sorted(self.rows)),
            samples={size: self._series[size].samples() for size in sorted(self.rows)},
            ended=self._ended,
            time_left_s=0.0 if finished else self._time_left_s(),
            finished=finished,
            environment=self._environment,
        )
        self._observe(measurement)
        self._shown_s = monotonic()
        return measurement

    def _show_in_time(self) -> None:
        if self.rows and monotonic() - self._shown_s >= _SHOW_EVERY_S:
            self.show()

    def _time_left_s(self) -> float:
        left_s = sum(
            seconds_left(self._evidence[size], self.limits) for size in self.rows if self._is_open(self._series[size])
        )
        waiting = [row for row in self.rows.values() if self.limits.colocated > 1 and row.colocated is None]
        return left_s + len(waiting) * self.limits.budget_s

    def _start(self) -> None:
        replica = start_replica(self.target.entry, self.placed[0], self.limits, self.frames[:1], self._tell)
        self._replica = self._stack.enter_context(replica)
        if self._load_s is None:
            self._load_s = replica.load_s
        self._environment = {**self._environment, "replica": dict(replica.environment)}

    def _is_open(self, series: Series) -> bool:
        return series.size not in self._done and series.stopped == "unfinished"

    def _probe(self, series: Series) -> None:
        """Run some 100 ms of batches; of very slow ones two, the first of which is warm-up."""
        began_s = monotonic()
        while True:
            self._run_batch(series)
            count, spent_s = len(series.at_s), monotonic() - began_s
            if spent_s >= _RAMP_S and (count >= _RAMP_BATCHES or (count == 2 and spent_s >= self.limits.budget_s)):
                return

    def _block(self, series: Series) -> None:
        """Run the batches of one row in one round."""
        series.rounds += 1
        began_s = monotonic()
        for _ in range(block_size(series.typical_s()[1])):
            self._run_batch(series)
            if monotonic() - began_s >= 2 * BLOCK_S:
                break
        series.spent_s += monotonic() - began_s

    def _run_batch(self, series: Series) -> None:
        if series.size not in self._batches:
            self._batches[series.size] = draw(self.frames, series.size, self.limits.seed)
        at_s = monotonic() - self._began_s
        answer = self._replica.predict(next(self._batches[series.size]))
        series.add(at_s, answer.latency_s, answer.hop_s)

    def _judge(self, series: Series) -> None:
        """Bring the row up to date, and close it when it is known well enough."""
        if not self._is_open(series):
            return
        estimate = series.estimate(self.target, self._load_s or 0.0, str(self._environment["id"]))
        if estimate is None:
            return
        row, evidence = estimate
        series.stopped = verdict(evidence, self.limits) if self._ended else "unfinished"
        self.rows[series.size] = replace(row, stopped=series.stopped)
        self._evidence[series.size] = evidence

    def _lose(self, size: int, error: MemoryExhausted) -> None:
        """Give up a batch size that does not fit into memory, and all above it; go on with a fresh replica."""
        if size == 1:
            raise error
        self._tell(f"{error}; batch sizes below {size} are kept")
        self._ended = "memory"
        for lost in [each for each in self._series if each >= size]:
            del self._series[lost]
            self.rows.pop(lost, None)
        self._stack.close()
        self._start()
        for series in self._series.values():
            if self._is_open(series):
                series.begin_again()
