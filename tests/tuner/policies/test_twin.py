"""The twin: simulated onwards with the real simulator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inferline.errors import InputError
from tuner.policies.certified import certified
from tuner.policies.twin import twin

S = 1_000_000_000


@pytest.fixture
def ticked(situation, at, seen):
    """Return a function that calls a policy every second and acts at once; it returns the replicas of both stages."""

    def of(policy, detect_s, seconds, planned=(4, 2), options=None):
        arrival_ns = np.rint(np.sort(np.asarray(detect_s)) * S).astype(np.int64)
        here = situation(planned=planned, options=options, ahead=True)
        before, note, log = {"detect": planned[0], "read": planned[1]}, None, []
        for second in range(1, seconds + 1):
            first = arrival_ns[: arrival_ns.searchsorted(second * S)]
            stages = {
                "detect": seen(arrival_ns=first, replicas=before["detect"]),
                "read": seen(arrival_ns=first[::2], replicas=before["read"]),
            }
            decision, note = policy(here, at(second, **stages), note)
            before = dict(decision.replicas)
            log.append((before["detect"], before["read"]))
        return log

    return of


def test_it_never_asks_for_more_than_the_certified_tuner(ticked):
    arrivals = np.cumsum(np.random.default_rng(4).exponential(1 / 40, 4000))
    bounds, simulated = (ticked(policy, arrivals, 90, planned=(8, 2)) for policy in (certified, twin))
    assert all(
        s <= b
        for simulation, bound in zip(simulated, bounds, strict=True)
        for s, b in zip(simulation, bound, strict=True)
    )
    assert simulated[-1][0] >= 5  # more than 4 are busy all the time


def test_it_looks_ahead_only_with_a_simulator(situation, at):
    with pytest.raises(InputError, match="needs a simulator"):
        twin(situation(), at(1), None)


def test_the_same_again_gives_the_same(ticked):
    arrivals = np.cumsum(np.random.default_rng(5).exponential(1 / 30, 1500))
    assert ticked(twin, arrivals, 40) == ticked(twin, arrivals, 40)


def test_options_of_both_are_known_and_no_others(situation, at):
    given = situation(options={"looks": 2, "hold_s": 5}, ahead=True)
    assert twin(given, at(1), None)[0].replicas == {"detect": 1, "read": 1}
    with pytest.raises(InputError, match=r"options\.look: no such option"):
        twin(replace(given, options={"look": 2}), at(1), None)
