"""What comes to every stage of the pipeline: shares of queries by edge, and rates to be ready for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inferline.units import NANO
from tuner.policies.bounds import arrived
from tuner.policies.load import LoadNote, expected_qps, first_load_note, surge_qps, window_qps
from tuner.situation import Observation, Situation

__all__ = ["Headroom", "rates_expected", "shares_seen"]

_SHARE_SPAN_NS = 60 * NANO


@dataclass(frozen=True, slots=True, kw_only=True)
class Headroom:
    """How the headroom is learned.

    Parameters
    ----------
    lead_ns
        Beside the activation delay, until what is asked for serves: one period of the policy.
    quantile
        Share of the past growths that it covers, in [0, 1].
    memory_ns
        How far back growth counts.
    least, most
        Its bounds, at least 1.
    """

    lead_ns: int
    quantile: float
    memory_ns: int
    least: float
    most: float


def shares_seen(situation: Situation, observation: Observation) -> dict[tuple[str, str], float]:
    """Return, by edge, queries at the child for each at the parent, of the last minute; at most 1."""
    now_ns = observation.now_ns
    visits = {name: arrived(seen.arrival_ns, now_ns, _SHARE_SPAN_NS) for name, seen in observation.stages.items()}
    return {
        (edge.parent, stage.name): min(1.0, visits[stage.name] / visits[edge.parent]) if visits[edge.parent] else 0.0
        for stage in situation.pipeline.stages
        for edge in stage.parents
    }


def rates_expected(
    situation: Situation,
    observation: Observation,
    shares: Mapping[tuple[str, str], float],
    loads: Mapping[str, LoadNote] | None,
    headroom: Headroom,
) -> tuple[dict[str, float], dict[str, LoadNote]]:
    """Return the rates to be ready for, in queries per second, and what to remember, by stage.

    A stage expects what arrives at its own queue, and the share that it lately got of what its parents expect: a
    branch that turns hot is seen where it does, and a surge before it has come through.

    Parameters
    ----------
    shares
        What `shares_seen` returned.
    loads
        What to remember of the tick before; None at the first.
    headroom
        For every stage.
    """
    now_ns = observation.now_ns
    base_qps: dict[str, float] = {}
    rate_qps: dict[str, float] = {}
    after: dict[str, LoadNote] = {}
    for stage in situation.pipeline.stages:
        name, arrival_ns = stage.name, observation.stages[stage.name].arrival_ns
        from_parents = (base_qps[edge.parent] * shares[edge.parent, name] for edge in stage.parents)
        base_qps[name] = max(window_qps(arrival_ns, now_ns), surge_qps(arrival_ns, now_ns), *from_parents)
        rate_qps[name], after[name] = expected_qps(
            arrival_ns,
            now_ns,
            base_qps[name],
            first_load_note() if loads is None else loads[name],
            delay_ns=situation.activation_ns[name] + headroom.lead_ns,
            quantile=headroom.quantile,
            memory_ns=headroom.memory_ns,
            least_headroom=headroom.least,
            most_headroom=headroom.most,
        )
    return rate_qps, after
