"""Transitions on a trace: when their steps run, and what queries see meanwhile."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from inferline.domain import Configuration, Profile
from inferline.errors import InputError
from planner import Problem
from planner.transitions.rehearsal import rehearse
from planner.transitions.timetable import ActivationDelay, Pace, Slot, activation_delay, schedule, timetable
from planner.transitions.transition import Transition, plan_transition
from simulator.cluster import simulate_cluster
from simulator.epochs import Epoch
from tests.planner.transitions.chains import SPEED, S, posed, running


def test_activation_delays_come_from_the_user_the_profile_or_an_assumption():
    rows = {"model": "m", "hardware": "h", "batch_size": np.array([1, 2]), "latency_mean_s": np.array([0.1, 0.2])}
    known = Profile(**rows, load_s=np.array([np.nan, 12.5]))
    assert activation_delay(known) == ActivationDelay(delay_ns=12_500_000_000, source="profile")
    assert activation_delay(known, 7) == ActivationDelay(delay_ns=7, source="given")
    assert activation_delay(Profile(**rows)) == ActivationDelay(delay_ns=5 * S, source="assumed")


def test_each_step_waits_for_the_one_before_it_and_for_settling():
    problem = posed(("a", "b"))
    transition = plan_transition(
        problem, running(a=("slow", 2, 4), b=("mid", 2)), running(a=("mid", 1), b=("mid", 1))
    )
    pace = Pace(activation_ns={("a", "mid"): 30 * S}, settle_ns=10 * S, begin_ns=100 * S)
    slots = timetable(problem, transition, pace)
    seconds = [
        (step.kind, slot.begin_ns / S, slot.ready_ns / S, slot.end_ns / S)
        for step, slot in zip(transition.steps, slots, strict=True)
    ]
    assert seconds == [
        ("add", 100, 130, 140),
        ("switch", 140, 140.7, 150.7),  # a batch of four takes 0.7 s on the old hardware
        ("remove", 150.7, 150.7, 160.7),  # which has nothing in service any more
        ("remove", 160.7, 160.9, 170.9),
    ]
    assert schedule(problem, transition, slots) == {
        "a": [Epoch(start_ns=140 * S, batch_latency_ns=(S // 5,), replicas=1, new_hardware=True)],
        "b": [Epoch(start_ns=160_700_000_000, batch_latency_ns=(S // 5,), replicas=1)],
    }


def test_changes_of_one_stage_at_one_instant_are_one_epoch():
    problem = posed()
    transition = plan_transition(problem, running(a=("mid", 1)), running(a=("mid", 2, 2)))
    slots = timetable(problem, transition, Pace(activation_ns={("a", "mid"): 3 * S}, settle_ns=0, begin_ns=0))
    assert schedule(problem, transition, slots)["a"] == [
        Epoch(start_ns=3 * S, batch_latency_ns=(200_000_000, 250_000_000), replicas=2)
    ]


def test_a_transition_without_an_instant_begins_where_most_queries_arrive():
    problem = posed(arrivals_s=(0, 1, 20, 21, 22, 40, 41))
    transition = plan_transition(problem, running(a=("mid", 1)), running(a=("mid", 2)))
    pace = Pace(activation_ns={("a", "mid"): 2 * S}, settle_ns=S)
    assert timetable(problem, transition, pace) == (Slot(begin_ns=20 * S, ready_ns=22 * S, end_ns=23 * S),)


def test_a_transition_beyond_all_times_is_refused():
    problem = posed()
    transition = plan_transition(problem, running(a=("mid", 1)), running(a=("mid", 2)))
    with pytest.raises(InputError, match="beyond 2"):
        timetable(problem, transition, Pace(activation_ns={("a", "mid"): 2**62}, settle_ns=S, begin_ns=0))


def test_queries_wait_until_the_added_replica_is_active():
    # Two queries come every 0.2 s, and one replica serves one in that time.
    arrivals = [0.2 * (k // 2) for k in range(20)]
    problem = posed(arrivals_s=arrivals, slo_s=0.5)
    pace = Pace(activation_ns={("a", "mid"): round(0.6 * S)}, settle_ns=round(0.4 * S), begin_ns=round(0.4 * S))
    rehearsal = rehearse(problem, running(a=("mid", 1)), running(a=("mid", 2)), pace)
    (step,) = rehearsal.steps
    assert (step.slot.begin_ns, step.slot.ready_ns, step.slot.end_ns) == (400_000_000, S, 1_400_000_000)
    assert rehearsal.before.seen.queries == 4
    # Ten queries arrive at 0.4 ... 1.2 s. Five have been served at 1.0 s; the sixth of all is the second from 0.4 s.
    assert step.seen.queries == 10
    assert step.seen.latency_ns == 800_000_000
    assert (step.seen.late, step.seen.slo_met, rehearsal.slo_met, rehearsal.worst) == (10, False, False, 0)
    assert (step.with_new.latency_ns, step.with_new.late) == (200_000_000, 0)
    assert step.with_old.latency_ns == 2 * S - 4 * 200_000_000 + 400_000_000
    assert step.longest_wait == ("a", 600_000_000)
    assert rehearsal.cost_nano_usd == round(2 * 5 * S / 3600)
    assert rehearsal.peak_nano_usd_per_hour == 2 * 5 * S


def test_a_transition_that_no_query_meets_is_met():
    problem = posed(arrivals_s=(0.0, 100.0))
    pace = Pace(activation_ns={("a", "mid"): S}, settle_ns=S, begin_ns=50 * S)
    rehearsal = rehearse(problem, running(a=("mid", 1)), running(a=("mid", 2)), pace)
    assert (rehearsal.slo_met, rehearsal.worst, rehearsal.whole.seen.queries) == (True, None, 0)
    assert rehearsal.steps[0].longest_wait is None
    assert (rehearsal.before.seen.queries, rehearsal.after.seen.queries) == (1, 1)


def test_nothing_to_change_is_rehearsed_as_it_is():
    rehearsal = rehearse(posed(), running(a=("mid", 1)), running(a=("mid", 1)), Pace(activation_ns={}, settle_ns=S))
    assert (rehearsal.steps, rehearsal.slo_met) == ((), True)
    assert (rehearsal.cost_nano_usd, rehearsal.peak_nano_usd_per_hour) == (0, 5 * S)
    assert rehearsal.old == rehearsal.new


def busy(seed: int) -> tuple[Problem, Configuration, Configuration, Pace]:
    """Return a transition in which batch sizes and two kinds of hardware change under load."""
    rng = np.random.default_rng(seed)
    arrivals = np.sort(rng.uniform(0, 60, 900)).tolist()
    problem = posed(("a", "b", "c"), arrivals_s=arrivals, slo_s=1.5)
    old = running(a=("fast", 2, 4), b=("mid", 3, 1), c=("mid", 2, 4))
    new = running(a=("fast", 3, 1), b=("mid", 2, 4), c=("fast", 2, 2))
    activation = {(name, unit): 4 * S for name in "abc" for unit in SPEED}
    return problem, old, new, Pace(activation_ns=activation, settle_ns=2 * S, begin_ns=10 * S)


def worst_of(problem: Problem, transition: Transition, pace: Pace) -> tuple[int, int]:
    """Return the latency at the SLO's percentile of the worst step, and the late queries of all, in another way."""
    slots = timetable(problem, transition, pace)
    result = simulate_cluster(
        problem.network(transition.old), schedule(problem, transition, slots), problem.trace.arrival_ns
    )
    worst, late = 0, 0
    for slot in slots:
        here = (problem.trace.arrival_ns >= slot.begin_ns) & (problem.trace.arrival_ns < slot.end_ns)
        latency = np.sort(result.latency_ns[here])
        worst = max(worst, int(latency[-(-99 * latency.size // 100) - 1]))
        late += int((latency > problem.pipeline.slo.latency_ns).sum())
    return worst, late


@pytest.mark.parametrize("seed", range(4))
def test_the_order_and_the_places_that_are_kept_are_the_best_of_those_tried(seed):
    problem, old, new, pace = busy(seed)
    kept = rehearse(problem, old, new, pace)
    score = worst_of(problem, kept.transition, pace)
    assert score == (kept.steps[kept.worst].seen.latency_ns, kept.whole.seen.late)
    for order in permutations(SPEED):
        assert score <= worst_of(problem, plan_transition(problem, old, new, hardware_order=order), pace)
    for place in ("first", "between", "last"):
        places = {**kept.transition.batch_places, "b": place}
        order = kept.transition.hardware_order
        other = plan_transition(problem, old, new, hardware_order=order, batch_places=places)
        assert score <= worst_of(problem, other, pace)


def test_the_simulation_finds_that_a_larger_batch_helps_while_replicas_are_few_and_a_smaller_one_does_not():
    places = {name: rehearse(*busy(2)).transition.batch_places[name] for name in "ab"}
    assert places == {"a": "last", "b": "first"}  # a: 4 -> 1, b: 1 -> 4


def test_the_same_inputs_give_the_same_rehearsal():
    assert rehearse(*busy(1)) == rehearse(*busy(1))
