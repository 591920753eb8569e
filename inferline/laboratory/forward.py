"""The simulator that policies look ahead with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator import Network, Station
from simulator.onwards import simulate_onwards
from tuner.situation import Future, Simulate, Situation

__all__ = ["look_ahead", "network_of"]


def look_ahead(network: Network) -> Simulate:
    """Return what policies look ahead with while a plan is in force.

    Parameters
    ----------
    network
        That of the plan, as `network_of` returns it: it takes as long to make as some thousand queries to simulate.
    """

    def simulate(situation: Situation, future: Future) -> NDArray[np.int64]:  # noqa: ARG001 - the Protocol's signature
        return simulate_onwards(network, future.arrival_ns, future.begins, future.replicas, future.taken)

    return simulate


def network_of(situation: Situation) -> Network:
    """Return the network that runs the plan of a situation."""
    return Network(
        tuple(
            Station(
                stage.name,
                situation.batch_latency_ns[stage.name],
                situation.plan.configuration[stage.name].replicas,
                tuple(edge.parent for edge in stage.parents),
            )
            for stage in situation.pipeline.stages
        )
    )
