"""The plan's own counts, whatever the traffic does."""

from __future__ import annotations

from tuner.policies.bounds import decide
from tuner.situation import Decision, Observation, Reason, Situation

__all__ = ["static"]


def static(situation: Situation, observation: Observation, note: None) -> tuple[Decision, None]:
    """Keep what was planned.

    Parameters
    ----------
    situation, observation, note
        As of every `tuner.situation.Policy`; the note is not used.
    """
    del note
    planned = {name: chosen.replicas for name, chosen in situation.plan.configuration.items()}
    return decide(situation, observation, planned, dict.fromkeys(planned, Reason(rule="planned"))), None
