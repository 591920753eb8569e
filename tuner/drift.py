"""Whether traffic has left the plan for good: not a burst, which replicas answer, but what was planned from.

Two things are compared with the plan, and both must last:

* **The traffic**: the longer windows of the plan's envelope hold well more queries than they ever did in what was
  planned from, or the longest of them well fewer. Short windows do not count: they are bursts.
* **The branches**: visits at a stage for each visit at its parent (for each query, where it has several parents) are
  not as planned, by more than chance and a margin. Chance is Chernoff's bound on the binomial distribution, which
  holds for every n: P(K/n at least q) <= exp(-n KL(q, p)) for q > p, and likewise below (Hoeffding 1963, theorem 1).
  While queries pile up at the parent nothing is said: they have not had the time to branch.

A burst is seen in a window for as long as the window, and as the burst. So what is to last must be seen for its time
and one window more. What was tried is not tried again for a while, whatever came of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Pipeline, Plan, Stage
from inferline.units import NANO
from tuner.protocols import ArrivalsSeen
from tuner.situation import Reason

__all__ = ["Drift", "DriftRules", "DriftState", "judge", "outside_chance", "tried"]

Instants = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRules:
    """What counts as drift; all are our choices.

    Parameters
    ----------
    sustained_ns
        How long more traffic, or other branches, must last. Activation delays are seconds to minutes, and a plan that
        is deployed costs as much again: five minutes is longer than either.
    below_ns
        How long less traffic must last. It costs money, no queries; six times as long keeps a pause from being one.
    cool_down_ns
        From an attempt to plan anew to the next.
    above, below
        Times the plan's counts. The plan's are the most in any window of its sample, so that chance is in them; 1.2
        is what the slack of a plan usually takes, and below 0.6 a stage of three replicas has one too many.
    least_window_ns
        Shorter windows of the envelope are bursts.
    branch_window_ns
        Branches are counted over this, or over `sustained_ns` where that is shorter.
    branch_margin
        By what share of the planned one a branch must differ: a plan leaves that much by rounding replicas up.
    doubt
        Chance alone makes as much of a difference with at most this probability.
    waiting
        More than this share of the visits waiting at the parent, and branches are not judged.
    gap_ns
        After a gap of so long without a look, what has lasted begins anew.
    least_queries
        Fewer queries say nothing of a percentile.
    """

    sustained_ns: int = 300 * NANO
    below_ns: int = 1800 * NANO
    cool_down_ns: int = 1800 * NANO
    above: float = 1.2
    below: float = 0.6
    least_window_ns: int = 10 * NANO
    branch_window_ns: int = 60 * NANO
    branch_margin: float = 0.15
    doubt: float = 1e-6
    waiting: float = 0.05
    gap_ns: int = 30 * NANO
    least_queries: int = 300

    def __post_init__(self) -> None:
        if not 0 < self.below < 1 < self.above:
            raise ValueError(f"below {self.below} and above {self.above}: expected 0 < below < 1 < above")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Traffic that has left the plan.

    Parameters
    ----------
    reason
        ``traffic above the plan`` or ``traffic below the plan`` with rates in queries/s, ``branches shifted`` with
        visits for each visit of the parent.
    stage
        Whose visits have shifted; empty for the traffic.
    since_ns
        Since when, on the clock of what was seen: from here on, queries are of the new kind.
    """

    reason: Reason
    stage: str
    since_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftState:
    """What is kept from look to look; all instants are on the clock of what was seen.

    Parameters
    ----------
    source
        Whose clock.
    begun_ns, looked_ns
        The first look in a row without a gap, and the last.
    since_ns
        By what differs, since when it has at every look.
    tried_ns
        The last attempt to plan anew; None when there was none.
    """

    source: str = ""
    begun_ns: int = 0
    looked_ns: int = 0
    since_ns: Mapping[str, int] = field(default_factory=dict)
    tried_ns: int | None = None


def judge(
    pipeline: Pipeline, plan: Plan, rules: DriftRules, seen: ArrivalsSeen, state: DriftState
) -> tuple[Drift | None, DriftState]:
    """Say whether what is seen has differed from the plan for long enough.

    Parameters
    ----------
    pipeline, plan
        What is in force.
    rules
        Constants.
    seen
        The queries, at a later instant than at the look before.
    state
        What the look before has kept.

    Returns
    -------
    tuple
        What has drifted, of several what has for the longest; None for nothing, or while an attempt is not long
        enough ago. And what is to be kept.
    """
    now_ns = seen.now_ns
    state = _continued(rules, seen, state)
    differing = {each.key: each for each in _differences(pipeline, plan, rules, seen, now_ns - state.begun_ns)}
    since_ns = {key: state.since_ns.get(key, now_ns) for key in differing}
    kept = DriftState(
        source=seen.source,
        begun_ns=state.begun_ns,
        looked_ns=now_ns,
        since_ns=since_ns,
        tried_ns=state.tried_ns,
    )
    if state.tried_ns is not None and now_ns - state.tried_ns < rules.cool_down_ns:
        return None, kept
    lasting = [key for key, begun_ns in since_ns.items() if now_ns - begun_ns >= differing[key].lasts_ns]
    if not lasting:
        return None, kept
    longest = min(lasting, key=lambda key: since_ns[key])
    found = differing[longest]
    return Drift(reason=found.reason, stage=found.stage, since_ns=since_ns[longest]), kept


def tried(state: DriftState, now_ns: int) -> DriftState:
    """Return the state after an attempt to plan anew, at an instant of the clock of what was seen."""
    return DriftState(
        source=state.source,
        begun_ns=state.begun_ns,
        looked_ns=state.looked_ns,
        since_ns=state.since_ns,
        tried_ns=now_ns,
    )


def outside_chance(count: int, of: int, share: float, doubt: float) -> bool:
    """Whether so many of so many are too few or too many for a binomial share.

    Parameters
    ----------
    count, of
        K of n, 0 <= K <= n.
    share
        p, in [0, 1].
    doubt
        A K as far from n p happens on this side with at most this probability, or it is not outside.

    Examples
    --------
    >>> outside_chance(45, 100, 0.4, 1e-3), outside_chance(65, 100, 0.4, 1e-3), outside_chance(450, 1000, 0.4, 1e-3)
    (False, True, False)
    """
    if of == 0:
        return False
    return of * _divergence(count / of, share) > -math.log(doubt)


def _divergence(q: float, p: float) -> float:
    """Return KL(q, p) of two Bernoulli distributions."""
    if (q > 0 and p == 0) or (q < 1 and p == 1):
        return math.inf
    yes = q * math.log(q / p) if q > 0 else 0.0
    no = (1 - q) * math.log((1 - q) / (1 - p)) if q < 1 else 0.0
    return yes + no


def _continued(rules: DriftRules, seen: ArrivalsSeen, state: DriftState) -> DriftState:
    """Return the state, or a fresh one after a gap, or when another process of the server answers."""
    if state.source == seen.source and 0 <= seen.now_ns - state.looked_ns <= rules.gap_ns:
        return state
    same_clock = state.source == seen.source and seen.now_ns >= state.looked_ns
    # On another clock nobody knows when the attempt was: it counts as made now.
    tried_ns = None if state.tried_ns is None else state.tried_ns if same_clock else seen.now_ns
    return DriftState(source=seen.source, begun_ns=seen.now_ns, looked_ns=seen.now_ns, tried_ns=tried_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Difference:
    """Something that is not as planned at this look, and how long it must last."""

    key: str
    reason: Reason
    lasts_ns: int
    stage: str = ""


def _differences(
    pipeline: Pipeline, plan: Plan, rules: DriftRules, seen: ArrivalsSeen, watched_ns: int
) -> Iterator[_Difference]:
    yield from _traffic(pipeline, plan, rules, seen, watched_ns)
    for stage in pipeline.stages:
        if not stage.is_entry and not _is_certain(stage):
            yield from _branch(stage, pipeline, plan, rules, seen)


def _traffic(
    pipeline: Pipeline, plan: Plan, rules: DriftRules, seen: ArrivalsSeen, watched_ns: int
) -> Iterator[_Difference]:
    entry = next(stage.name for stage in pipeline.stages if stage.is_entry)  # every query visits every entry
    arrival_ns = seen.stages[entry].arrival_ns
    windows = [
        (round(window_s * NANO), most)
        for window_s, most in zip(plan.envelope.window_s, plan.envelope.max_queries, strict=True)
    ]
    long = [each for each in windows if each[0] >= rules.least_window_ns] or windows[-1:]
    for window_ns, most in long:
        count = _within(arrival_ns, seen.now_ns, window_ns)
        reason = Reason(
            rule="traffic above the plan",
            window_ns=window_ns,
            measured=count * NANO / window_ns,
            threshold=rules.above * most * NANO / window_ns,
        )
        if count > rules.above * most:
            yield _Difference(key=f"above {window_ns}", reason=reason, lasts_ns=rules.sustained_ns + window_ns)
        if window_ns == long[-1][0] and watched_ns >= window_ns and count < rules.below * most:
            fewer = Reason(
                rule="traffic below the plan",
                window_ns=window_ns,
                measured=reason.measured,
                threshold=rules.below * most * NANO / window_ns,
            )
            yield _Difference(key="below", reason=fewer, lasts_ns=rules.below_ns + window_ns)


def _branch(
    stage: Stage, pipeline: Pipeline, plan: Plan, rules: DriftRules, seen: ArrivalsSeen
) -> Iterator[_Difference]:
    entry = next(each.name for each in pipeline.stages if each.is_entry)
    single = stage.parents[0].parent if len(stage.parents) == 1 else None
    before = entry if single is None else single
    planned = plan.predicted.stages[before].visits
    window_ns = min(rules.branch_window_ns, rules.sustained_ns)
    if not planned:
        return
    share = min(1.0, plan.predicted.stages[stage.name].visits / planned)
    visits = _within(seen.stages[before].arrival_ns, seen.now_ns, window_ns)
    here = _within(seen.stages[stage.name].arrival_ns, seen.now_ns, window_ns)
    ahead = [seen.stages[single]] if single is not None else list(seen.stages.values())
    waiting = sum(each.queued + each.in_service for each in ahead)
    if not visits or waiting > rules.waiting * visits:
        return
    here = min(here, visits)
    found = here / visits
    if abs(found - share) > rules.branch_margin * share and outside_chance(here, visits, share, rules.doubt):
        reason = Reason(rule="branches shifted", window_ns=window_ns, measured=found, threshold=share)
        yield _Difference(
            key=f"branch {stage.name}", reason=reason, lasts_ns=rules.sustained_ns + window_ns, stage=stage.name
        )


def _is_certain(stage: Stage) -> bool:
    """Whether one of the edges into a stage is always taken, so that its visits cannot shift against the parent's."""
    return any(edge.always_taken and edge.when is None for edge in stage.parents) and len(stage.parents) == 1


def _within(arrival_ns: Instants, now_ns: int, window_ns: int) -> int:
    """Return the arrivals in (now - window, now]."""
    first, end = np.searchsorted(arrival_ns, [now_ns - window_ns, now_ns], side="right")
    return int(end - first)
