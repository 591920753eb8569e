"""The policies that the tuner knows, replayed by name."""

from __future__ import annotations

from inferline.laboratory.experiment import Experiment
from inferline.laboratory.replay import Replay, replay
from tuner.policies import POLICIES

__all__ = ["replay_known"]


def replay_known(experiment: Experiment, name: str) -> Replay:
    """Replay a policy of `tuner.policies.POLICIES` on an experiment, with its own period and constants."""
    return replay(experiment, name, POLICIES[name].policy, POLICIES[name].period_ns)
