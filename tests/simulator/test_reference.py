"""What is particular to the model in SimPy."""

from __future__ import annotations

import numpy as np

import simulator.reference
from simulator import Network, Station, simulate


def test_the_batching_rule_is_the_one_of_the_domain(monkeypatch):
    asked = []

    def one_at_a_time(queue_length: int, max_batch: int) -> int:
        asked.append((queue_length, max_batch))
        return 1

    network = Network((Station("x", (10, 12, 14)),))
    monkeypatch.setattr(simulator.reference, "batch_to_take", one_at_a_time)
    assert simulate(network, np.array([0, 0, 3]), engine="reference").latency_ns.tolist() == [10, 20, 27]
    assert asked == [(2, 3), (2, 3), (1, 3)]
