"""The figures of a replay: what it cost, what it missed, and how restless it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inferline.domain.slo import nearest_rank
from inferline.laboratory.replay import Change, Replay
from inferline.units import NANO

__all__ = ["RESTLESS_NS", "Second", "Verdict", "judge", "late_by_second"]

RESTLESS_NS = 60 * NANO
"""A change back within this time counts as an oscillation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """One second of the trace.

    Parameters
    ----------
    second
        Counted from 0.
    queries, late
        Those that arrived in it, and those of them that were late.
    """

    second: int
    queries: int
    late: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The figures of one policy on one trace.

    Parameters
    ----------
    policy
        Its name.
    cost_nano_usd
        Over the whole trace.
    mean_nano_usd_per_hour
        That, by the length of the trace.
    queries, late
        All, and those above the SLO's latency.
    at_slo_percentile_ns, longest_ns
        Latency at the SLO's percentile (nearest rank), and the highest.
    slo_met
        Whether as many queries are in time as the SLO's percentile asks for, over the whole trace.
    worst_second
        The one in which most late queries arrived; the first of several, None when none was late.
    changes
        How often a stage's requested replicas changed.
    oscillations
        Changes that go against the same stage's change before, at most `RESTLESS_NS` later.
    most_replicas
        The most that were requested at one time, all stages together.
    """

    policy: str
    cost_nano_usd: int
    mean_nano_usd_per_hour: int
    queries: int
    late: int
    at_slo_percentile_ns: int
    longest_ns: int
    slo_met: bool
    worst_second: Second | None
    changes: int
    oscillations: int
    most_replicas: int

    @property
    def miss_rate(self) -> float:
        """Share of the queries that were late."""
        return self.late / self.queries


def judge(replayed: Replay) -> Verdict:
    """Return the figures of a replay."""
    trace, slo = replayed.experiment.trace, replayed.experiment.situation.pipeline.slo
    latency_ns, late = replayed.result.latency_ns, int(np.count_nonzero(replayed.late))
    rank = nearest_rank(slo.percentile, len(trace))
    cost = replayed.cost_nano_usd
    return Verdict(
        policy=replayed.policy,
        cost_nano_usd=cost,
        mean_nano_usd_per_hour=round(cost * 3600 * NANO / max(1, trace.duration_ns)),
        queries=len(trace),
        late=late,
        at_slo_percentile_ns=int(np.partition(latency_ns, rank - 1)[rank - 1]),
        longest_ns=int(latency_ns.max()),
        slo_met=late <= slo.allowance(len(trace)),
        worst_second=_worst_second(replayed) if late else None,
        changes=len(replayed.changes),
        oscillations=oscillations(replayed.changes),
        most_replicas=int(requested_in_all(replayed)[1].max()),
    )


def late_by_second(replayed: Replay) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return queries and late queries by the second of their arrival; int64 (seconds,) each."""
    second = replayed.experiment.trace.arrival_ns // NANO
    queries = np.bincount(second)
    return queries, np.bincount(second[replayed.late], minlength=queries.size)


def requested_in_all(replayed: Replay) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the instants at which requested replicas change and how many they are in all from then on."""
    timelines = replayed.result.replicas.values()
    start_ns = np.unique(np.concatenate([each.start_ns for each in timelines]))
    counts = [each.requested[np.searchsorted(each.start_ns, start_ns, side="right") - 1] for each in timelines]
    return start_ns, np.sum(counts, axis=0)


def oscillations(changes: Sequence[Change]) -> int:
    """Count the changes that go against the same stage's change before, at most `RESTLESS_NS` later."""
    before: dict[str, Change] = {}
    count = 0
    for change in changes:
        last = before.get(change.stage)
        if last is not None and change.at_ns - last.at_ns <= RESTLESS_NS:
            count += (change.after > change.before) != (last.after > last.before)
        before[change.stage] = change
    return count


def _worst_second(replayed: Replay) -> Second:
    queries, late = late_by_second(replayed)
    worst = int(late.argmax())
    return Second(second=worst, queries=int(queries[worst]), late=int(late[worst]))
