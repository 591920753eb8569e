"""The queries of the last while, in bounded memory: what a plan is made from when the old one does not fit."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Pipeline
from inferline.units import NANO
from tuner.protocols import ArrivalsSeen

__all__ = ["Observed", "Sample"]

_STRETCH_NS = 5 * NANO
_TOLD_NS = 120 * NANO
"""How far back `StageArrivals.arrival_ns` goes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """What was observed.

    Parameters
    ----------
    arrival_ns
        int64 (n,), non-decreasing: when queries reached the pipeline, from the beginning of the sample.
    duration_ns
        Its length.
    visits
        By stage, how many visits there were.
    """

    arrival_ns: NDArray[np.int64]
    duration_ns: int
    visits: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stretch:
    """Some seconds: (begin, end], the queries that came, and the visits of each stage."""

    begin_ns: int
    end_ns: int
    arrival_ns: NDArray[np.int64]
    visits: Mapping[str, int]


class Observed:
    """The queries of the last while.

    Stretches of some seconds are kept whole, and never counted twice: what a look tells of, the look before may have
    told of too. After a gap that is longer than looks tell of, or when another process answers, it begins anew.

    Parameters
    ----------
    pipeline
        Whose queries.
    keep_ns
        How long back.
    most_queries
        When there are more, the oldest are forgotten; eight bytes each.
    """

    def __init__(self, pipeline: Pipeline, keep_ns: int, most_queries: int = 500_000) -> None:
        # Every query visits every entry.
        self._entry = next(stage.name for stage in pipeline.stages if stage.is_entry)
        self._keep_ns = keep_ns
        self._most = most_queries
        self._stretches: deque[_Stretch] = deque()
        self._source = ""
        self._end_ns: int | None = None

    def __len__(self) -> int:
        """Return how many queries are kept."""
        return sum(each.arrival_ns.size for each in self._stretches)

    def clear(self) -> None:
        """Forget everything."""
        self._stretches.clear()
        self._end_ns = None

    def take(self, seen: ArrivalsSeen, *, at_once: bool = False) -> None:
        """Take what is new in a look, when there is enough of it or at once."""
        if seen.source != self._source or self._end_ns is None or not self._follows(seen.now_ns, self._end_ns):
            self.clear()
            self._source, self._end_ns = seen.source, seen.now_ns
            return
        if seen.now_ns - self._end_ns < (1 if at_once else _STRETCH_NS):
            return
        self._stretches.append(
            _Stretch(
                begin_ns=self._end_ns,
                end_ns=seen.now_ns,
                arrival_ns=_between(seen.stages[self._entry].arrival_ns, self._end_ns, seen.now_ns).copy(),
                visits={
                    name: _between(stage.arrival_ns, self._end_ns, seen.now_ns).size
                    for name, stage in seen.stages.items()
                },
            )
        )
        self._end_ns = seen.now_ns
        while self._stretches[0].end_ns <= seen.now_ns - self._keep_ns or (
            len(self) > self._most and len(self._stretches) > 1
        ):
            self._stretches.popleft()

    def sample(self, since_ns: int) -> Sample | None:
        """Return what was observed from an instant on, in whole stretches; None when that is no query.

        A stretch that had begun by then is left out, so that what was before is not in it.
        """
        kept = [each for each in self._stretches if each.begin_ns >= since_ns]
        if not any(each.arrival_ns.size for each in kept):
            return None
        begin_ns = kept[0].begin_ns
        return Sample(
            arrival_ns=np.concatenate([each.arrival_ns for each in kept]) - begin_ns,
            duration_ns=kept[-1].end_ns - begin_ns,
            visits={name: sum(each.visits.get(name, 0) for each in kept) for name in kept[0].visits},
        )

    @staticmethod
    def _follows(now_ns: int, end_ns: int) -> bool:
        return 0 <= now_ns - end_ns <= _TOLD_NS


def _between(arrival_ns: NDArray[np.int64], begin_ns: int, end_ns: int) -> NDArray[np.int64]:
    """Return the arrivals in (begin, end]."""
    first, end = np.searchsorted(arrival_ns, [begin_ns, end_ns], side="right")
    return arrival_ns[first:end]
