"""The coarse-grained baseline: the pipeline is replicated as a unit, by the rule of AutoScale.

Crankshaw et al. (SoCC 2020, section 6) tune their coarse-grained baseline with AutoScale (Gandhi et al., "AutoScale:
Dynamic, Robust Capacity Management for Multi-Tier Data Centers", ACM TOCS 30(4), 2012): units are added at once when
the load needs them, and a unit is turned off only when it has not been needed for 120 s. The load is both the rate of
arrivals and the number of jobs in the system, because the rate alone does not see what has piled up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from inferline.units import NANO
from tuner.policies.bounds import arrived, constants, decide
from tuner.situation import Decision, Observation, Reason, Situation

__all__ = ["PERIOD_NS", "CoarseConstants", "cg_autoscale"]

PERIOD_NS = NANO


@dataclass(frozen=True, slots=True, kw_only=True)
class CoarseConstants:
    """Constants of `cg_autoscale`.

    Parameters
    ----------
    wait_s
        How long a unit stays on although it is not needed: 120 s (AutoScale's t_wait).
    window_s
        The rate of arrivals is that of the last window of the plan's traffic envelope that is at least so long: our
        choice.
    """

    wait_s: float = 120.0
    window_s: float = 5.0


def cg_autoscale(
    situation: Situation, observation: Observation, note: tuple[tuple[int, int], ...] | None
) -> tuple[Decision, tuple[tuple[int, int], ...]]:
    """Scale the whole pipeline by units.

    The plan is as many units as its largest stage has replicas, and every stage grows and shrinks in proportion: when
    all stages have equally many, as in the coarse-grained plans, a unit is one replica of each. A unit carries its
    share of the rate that the plan was made for, in the plan's traffic envelope, and by Little's law as many jobs as
    arrive at that rate within the SLO. To be called every `PERIOD_NS`.

    Parameters
    ----------
    situation, observation
        As of every `tuner.situation.Policy`; options are `CoarseConstants`.
    note
        (instant, units needed) of the time that a unit may wait.
    """
    given = constants(CoarseConstants, situation.options)
    plan, now_ns = situation.plan, observation.now_ns
    planned = {name: chosen.replicas for name, chosen in plan.configuration.items()}
    units = max(planned.values())
    envelope = list(zip(plan.envelope.window_s, plan.envelope.max_queries, strict=True))
    window_s, most = next((each for each in envelope if each[0] >= given.window_s), envelope[-1])
    unit_qps = most / window_s / units
    entry = next(stage.name for stage in situation.pipeline.stages if stage.is_entry)
    rate_qps = arrived(observation.stages[entry].arrival_ns, now_ns, round(window_s * NANO)) / window_s
    jobs = sum(stage.queued + stage.in_service for stage in observation.stages.values())
    unit_jobs = unit_qps * plan.slo.latency_ns / NANO
    # A hair above a whole number is that number.
    needed = max(1, math.ceil(rate_qps / unit_qps - 1e-9), math.ceil(jobs / max(unit_jobs, 1.0)))
    since_ns = now_ns - round(given.wait_s * NANO)
    before = ((now_ns, units),) if note is None else note
    recent = (*(each for each in before if each[0] > since_ns), (now_ns, needed))
    on = max(count for _, count in recent)
    wanted = {name: math.ceil(count * on / units) for name, count in planned.items()}
    reason = Reason(rule="units", window_ns=round(window_s * NANO), measured=rate_qps, threshold=unit_qps * on)
    return decide(situation, observation, wanted, dict.fromkeys(wanted, reason)), recent
