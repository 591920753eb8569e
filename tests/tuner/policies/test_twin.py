"""The twin: simulated onwards with the real simulator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inferline.domain import Trace
from inferline.errors import InputError
from inferline.laboratory import Experiment, replay
from tuner.policies.twin import PERIOD_NS, twin

S = 1_000_000_000


@pytest.fixture
def ticked(situation, at, seen):
    """Return a function that calls the policy every second and acts at once.

    It returns the replicas of both stages at every second. Every other query goes on to `read`.
    """

    def of(detect_s, seconds, planned=(4, 2), options=None, starts_s=(5, 5)):
        arrival_ns = np.rint(np.sort(np.asarray(detect_s)) * S).astype(np.int64)
        activation_ns = dict(zip(("detect", "read"), (each * S for each in starts_s), strict=True))
        here = replace(situation(planned=planned, options=options, ahead=True), activation_ns=activation_ns)
        before, note, log = {"detect": planned[0], "read": planned[1]}, None, []
        for second in range(1, seconds + 1):
            first = arrival_ns[: arrival_ns.searchsorted(second * S)]
            stages = {
                "detect": seen(arrival_ns=first, replicas=before["detect"]),
                "read": seen(arrival_ns=first[::2], replicas=before["read"]),
            }
            decision, note = twin(here, at(second, **stages), note)
            before = dict(decision.replicas)
            log.append((before["detect"], before["read"]))
        return log

    return of


def test_what_it_keeps_is_needed_for_the_growth_that_is_insured(ticked):
    arrivals = np.cumsum(np.random.default_rng(4).exponential(1 / 40, 4800))
    counts = [ticked(arrivals, 90, planned=(8, 2), options={"growth_per_s": growth})[-1] for growth in (0, 0.06, 0.2)]
    assert counts[0][0] >= 5  # more than 4 are busy all the time
    assert counts[0] <= counts[1] <= counts[2]
    assert counts[2][0] >= 10  # 2.7 times as many queries, at 10/s a replica


def test_a_stage_that_starts_sooner_is_insured_for_less(ticked):
    arrivals = np.cumsum(np.random.default_rng(4).exponential(1 / 40, 4800))
    both, later = (ticked(arrivals, 90, planned=(16, 4), starts_s=starts_s)[-1] for starts_s in ((30, 30), (5, 30)))
    assert later[0] < both[0]
    assert later[1] == both[1]


def test_a_rise_is_answered_while_it_lasts_and_held_for_a_while(ticked):
    rise = np.concatenate([np.arange(0, 60, 0.05), np.arange(60, 70, 0.005), np.arange(70, 200, 0.05)])
    log = [detect for detect, _ in ticked(rise, 200)]
    assert log[58] <= 5
    assert max(log[59:70]) >= 25  # 200/s, and half as many more that may come
    assert log[105] >= 25
    assert log[-1] <= 5


def test_without_traffic_one_replica_of_each_stays(ticked):
    assert ticked([], 60)[-1] == (1, 1)


def test_a_jump_is_over_soon_after_the_first_replicas_that_it_asked_for_serve(situation):
    arrivals = np.concatenate([np.arange(0, 60, 1 / 20), np.arange(60, 120, 1 / 120)])
    trace = Trace(np.rint(arrivals * S).astype(np.int64), 120 * S)
    taken = np.arange(len(trace)) % 2 == 0
    experiment = Experiment(situation=situation(), trace=trace, routes={("detect", "read"): taken})
    done = replay(experiment, "twin", twin, PERIOD_NS)
    late_s = trace.arrival_ns[done.late] / S
    assert late_s.min() >= 60
    assert late_s.max() < 60 + 1 + 5 + 3  # a tick to see it, replicas that start, and the backlog


def test_it_looks_ahead_only_with_a_simulator(situation, at):
    with pytest.raises(InputError, match="needs a simulator"):
        twin(situation(), at(1), None)


def test_the_same_again_gives_the_same(ticked):
    arrivals = np.cumsum(np.random.default_rng(5).exponential(1 / 30, 1500))
    assert ticked(arrivals, 40) == ticked(arrivals, 40)


def test_its_options_are_known_and_no_others(situation, at):
    given = situation(options={"looks": 2, "hold_s": 5}, ahead=True)
    assert twin(given, at(1), None)[0].replicas == {"detect": 1, "read": 1}
    with pytest.raises(InputError, match=r"options\.look: no such option"):
        twin(replace(given, options={"look": 2}), at(1), None)
