"""Knative's pod autoscaler (KPA): concurrency per replica, over a long window and, in a panic, over a short one.

The rules are those of Knative Serving, ``pkg/autoscaler/scaling/autoscaler.go``; the defaults those of its
``config-autoscaler`` (``config/core/configmaps/autoscaler.yaml``, Knative Serving 1.x).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean

from inferline.units import NANO
from tuner.policies.bounds import constants, decide, requested
from tuner.situation import Decision, Observation, Reason, Situation

__all__ = ["SAMPLE_NS", "KpaConstants", "KpaNote", "kpa"]

SAMPLE_NS = NANO
"""Concurrency is sampled every second; Knative's queue proxies report every second, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KpaConstants:
    """Constants of `kpa`.

    Parameters
    ----------
    target_utilisation
        ``container-concurrency-target-percentage``: 70 % of the queries that a replica may have in service, which is
        the stage's planned maximum batch size (``containerConcurrency``, the user's choice).
    stable_window_s
        ``stable-window``: 60 s.
    panic_window_share
        ``panic-window-percentage``: 10 % of the stable window.
    panic_threshold
        ``panic-threshold-percentage``: 200 %.
    max_up_rate, max_down_rate
        ``max-scale-up-rate`` 1000 and ``max-scale-down-rate`` 2, of the ready replicas in one decision.
    tick_s
        ``tick-interval``: 2 s between decisions. ``scale-down-delay`` is 0 s.
    """

    target_utilisation: float = 0.7
    stable_window_s: float = 60.0
    panic_window_share: float = 0.1
    panic_threshold: float = 2.0
    max_up_rate: float = 1000.0
    max_down_rate: float = 2.0
    tick_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KpaNote:
    """What `kpa` remembers of one stage.

    Parameters
    ----------
    samples
        (instant, queries in the stage) of the stable window.
    decided_ns
        Last decision.
    panic_ns
        When the panic threshold was last exceeded; None outside a panic.
    panic_replicas
        Most replicas asked for in this panic.
    """

    samples: tuple[tuple[int, int], ...]
    decided_ns: int
    panic_ns: int | None
    panic_replicas: int


def kpa(
    situation: Situation, observation: Observation, note: Mapping[str, KpaNote] | None
) -> tuple[Decision, Mapping[str, KpaNote]]:
    """Scale each stage to ceil(mean concurrency / target), and up only while in a panic.

    As Knative's does, it starts in a panic where more than one replica is ready: until the stable window has seen
    traffic, nothing is taken away. To be called every `SAMPLE_NS`.

    Parameters
    ----------
    situation, observation, note
        As of every `tuner.situation.Policy`; options are `KpaConstants`.
    """
    given = constants(KpaConstants, situation.options)
    now_ns = observation.now_ns
    wanted = requested(observation)
    reasons: dict[str, Reason] = {}
    notes: dict[str, KpaNote] = {}
    for name, stage in observation.stages.items():
        before = _first(now_ns, stage.ready) if note is None else note[name]
        since_ns = now_ns - round(given.stable_window_s * NANO)
        recent = (*(each for each in before.samples if each[0] > since_ns), (now_ns, stage.queued + stage.in_service))
        notes[name] = replace(before, samples=recent)
        if note is None or now_ns - before.decided_ns < round(given.tick_s * NANO):
            continue
        target = given.target_utilisation * situation.plan.configuration[name].max_batch
        wanted[name], reasons[name], notes[name] = _decide(now_ns, notes[name], max(stage.ready, 1), target, given)
    return decide(situation, observation, wanted, reasons), notes


def _first(now_ns: int, ready: int) -> KpaNote:
    panics = ready > 1
    return KpaNote(
        samples=(), decided_ns=now_ns, panic_ns=now_ns if panics else None, panic_replicas=ready if panics else 0
    )


def _decide(
    now_ns: int, note: KpaNote, ready: int, target: float, given: KpaConstants
) -> tuple[int, Reason, KpaNote]:
    """Return the count, why, and what to remember (``autoscaler.Scale``)."""
    panic_window_ns = round(given.stable_window_s * given.panic_window_share * NANO)
    stable = fmean(here for _, here in note.samples)
    panic = fmean(here for at_ns, here in note.samples if at_ns > now_ns - panic_window_ns)
    most, least = math.ceil(given.max_up_rate * ready), math.floor(ready / given.max_down_rate)
    for_stable = min(max(math.ceil(stable / target), least), most)
    for_panic = min(max(math.ceil(panic / target), least), most)
    panic_ns = note.panic_ns
    if math.ceil(panic / target) / ready >= given.panic_threshold:
        panic_ns = now_ns
    elif panic_ns is not None and panic_ns + round(given.stable_window_s * NANO) < now_ns:
        panic_ns = None
    samples = note.samples
    if panic_ns is None:
        window_ns = round(given.stable_window_s * NANO)
        reason = Reason(rule="stable", window_ns=window_ns, measured=stable / ready, threshold=target)
        return for_stable, reason, KpaNote(samples=samples, decided_ns=now_ns, panic_ns=None, panic_replicas=0)
    held = max(for_stable, for_panic, note.panic_replicas)
    reason = Reason(rule="panic", window_ns=panic_window_ns, measured=panic / ready, threshold=target)
    return held, reason, KpaNote(samples=samples, decided_ns=now_ns, panic_ns=panic_ns, panic_replicas=held)
