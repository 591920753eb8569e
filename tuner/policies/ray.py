"""Ray Serve's autoscaling: ongoing requests per replica against a target, after a delay in each direction.

The rules are those of Ray Serve, ``python/ray/serve/autoscaling_policy.py``; the defaults those of
``ray.serve.config.AutoscalingConfig`` (Ray 2.60; "Advanced Ray Serve Autoscaling" in its documentation).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean

from inferline.units import NANO
from tuner.policies.bounds import constants, decide, requested
from tuner.situation import Decision, Observation, Reason, Situation, StageObservation

__all__ = ["SAMPLE_NS", "RayConstants", "RayNote", "ray"]

SAMPLE_NS = NANO
"""Ray Serve samples twice a second and decides ten times a second; both change nothing that lasts for seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayConstants:
    """Constants of `ray`.

    Parameters
    ----------
    target_ongoing_requests
        Queries per replica, waiting or in service: 2.
    upscale_delay_s, downscale_delay_s
        How long the same direction must be wanted without a break: 30 s and 600 s.
    look_back_period_s
        Over which ongoing requests are averaged: 30 s.
    metrics_interval_s
        How often the average gets to the controller: 10 s.
    upscaling_factor, downscaling_factor
        Share of the difference that is made up for: 1 and 1.
    """

    target_ongoing_requests: float = 2.0
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0
    look_back_period_s: float = 30.0
    metrics_interval_s: float = 10.0
    upscaling_factor: float = 1.0
    downscaling_factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RayNote:
    """What `ray` remembers of one stage.

    Parameters
    ----------
    samples
        (instant, queries in the stage) of the look-back period.
    reported_ns, ongoing
        When the controller last got an average, and the average.
    direction, since_ns
        1 (up), -1 (down) or 0, and since when it has been wanted.
    """

    samples: tuple[tuple[int, int], ...]
    reported_ns: int
    ongoing: float | None
    direction: int
    since_ns: int


def ray(
    situation: Situation, observation: Observation, note: Mapping[str, RayNote] | None
) -> tuple[Decision, Mapping[str, RayNote]]:
    """Scale each stage to ceil(ongoing requests / target) once that has been wanted for the delay.

    To be called every `SAMPLE_NS`.

    Parameters
    ----------
    situation, observation, note
        As of every `tuner.situation.Policy`; options are `RayConstants`.
    """
    given = constants(RayConstants, situation.options)
    now_ns = observation.now_ns
    wanted = requested(observation)
    reasons: dict[str, Reason] = {}
    notes: dict[str, RayNote] = {}
    for name, stage in observation.stages.items():
        first = RayNote(samples=(), reported_ns=now_ns, ongoing=None, direction=0, since_ns=now_ns)
        seen = _reported(now_ns, stage, first if note is None else note[name], given)
        if seen.ongoing is not None:
            wanted[name], seen = _delayed(now_ns, stage, seen.ongoing, seen, given)
            target = given.target_ongoing_requests * max(stage.ready, 1)
            reasons[name] = Reason(
                rule="ongoing requests",
                window_ns=round(given.look_back_period_s * NANO),
                measured=seen.ongoing or 0.0,
                threshold=target,
            )
        notes[name] = seen
    return decide(situation, observation, wanted, reasons), notes


def _reported(now_ns: int, stage: StageObservation, note: RayNote, given: RayConstants) -> RayNote:
    """Take a sample, and hand the average on when its time has come."""
    since_ns = now_ns - round(given.look_back_period_s * NANO)
    samples = (*(each for each in note.samples if each[0] > since_ns), (now_ns, stage.queued + stage.in_service))
    if now_ns - note.reported_ns < round(given.metrics_interval_s * NANO):
        return replace(note, samples=samples)
    return replace(note, samples=samples, reported_ns=now_ns, ongoing=fmean(here for _, here in samples))


def _delayed(
    now_ns: int, stage: StageObservation, ongoing: float, note: RayNote, given: RayConstants
) -> tuple[int, RayNote]:
    """Return the count to ask for, and what to remember (``_apply_delay_logic``)."""
    desired = _desired(stage.ready, ongoing, given)
    direction = (desired > stage.requested) - (desired < stage.requested)
    since_ns = note.since_ns if direction == note.direction else now_ns
    delay_s = given.upscale_delay_s if direction > 0 else given.downscale_delay_s
    if direction and now_ns - since_ns > round(delay_s * NANO):
        return desired, replace(note, direction=0, since_ns=now_ns)
    return stage.requested, replace(note, direction=direction, since_ns=since_ns)


def _desired(ready: int, ongoing: float, given: RayConstants) -> int:
    """Return the replicas for so many requests (``_apply_scaling_factors``)."""
    wanted = ongoing / given.target_ongoing_requests
    factor = given.upscaling_factor if wanted > ready else given.downscaling_factor
    count = math.ceil(ready + factor * (wanted - ready))
    return max(1, count - 1 if count == ready > math.ceil(wanted) else count)
