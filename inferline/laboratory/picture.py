"""Replays as a picture: the traffic, the replicas that each policy asked for, and the queries that came too late."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inferline.laboratory.replay import Replay
from inferline.laboratory.verdict import late_by_second, requested_in_all
from inferline.pictures import Picture, drawing, empty_figure, finished, shortened, time_unit
from inferline.units import NANO

__all__ = ["draw_replays"]

_COLORS = ("#2f6690", "#d97706", "#3f7d3a", "#8a4fa3", "#b3261e", "#0f766e", "#a16207", "#be185d", "#6b7280")
_MOST_BINS = 240


def draw_replays(replays: Sequence[Replay]) -> Picture:
    """Draw rate, requested replicas and late queries over time, with a line for each policy.

    Parameters
    ----------
    replays
        At least one, all of one trace.
    """
    trace = replays[0].experiment.trace
    unit, per_s = time_unit(trace.duration_ns / NANO)
    end = trace.duration_ns / NANO * per_s
    with drawing("replays"):
        figure = empty_figure(9, 7.2)
        traffic, replicas, late = figure.subplots(3, 1, sharex=True, height_ratios=(2, 3, 3))
        queries, _ = late_by_second(replays[0])
        step_s = max(1, -(-queries.size // _MOST_BINS))
        edges = np.minimum(np.arange(-(-queries.size // step_s) + 1) * step_s * per_s, end)
        traffic.stairs(_by_step(queries, step_s) / step_s, edges, fill=True, color="#9cc3de")
        each_s = "each second" if step_s == 1 else f"steps of {step_s} s"
        traffic.set(title=f"Rate ({each_s})", ylabel="queries/s", ylim=(0, None))
        for place, each in enumerate(replays):
            color = _COLORS[place % len(_COLORS)]
            start_ns, requested = requested_in_all(each)
            at = np.append(start_ns / NANO * per_s, end)
            replicas.stairs(requested, at, baseline=None, color=color, lw=1.2, label=shortened(each.policy))
            share = 100 * _by_step(late_by_second(each)[1], step_s) / np.maximum(_by_step(queries, step_s), 1)
            late.stairs(share, edges, baseline=None, color=color, lw=1.2, label=shortened(each.policy))
        replicas.set(title="Replicas asked for, all stages together", ylabel="replicas", ylim=(0, None))
        late.set(title=f"Late queries ({each_s})", ylabel="% of queries", ylim=(0, None))
        late.set(xlabel=f"time ({unit})", xlim=(0, end))
        replicas.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        return finished("replays", figure)


def _by_step(counts: NDArray[np.int64], step_s: int) -> NDArray[np.int64]:
    """Sum counts of seconds over steps; the last step may be short."""
    sums: NDArray[np.int64] = np.add.reduceat(counts, np.arange(0, counts.size, step_s))
    return sums
