"""The Horizontal Pod Autoscaler and KEDA, sync by sync."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuner.policies.kubernetes import hpa, keda


@pytest.fixture
def synced(situation, at):
    """Return a function that calls a policy every 15 s and collects the replicas of `detect`."""

    def of(policy, stages, options=None):
        log, note = [], None
        for tick, stage in enumerate(stages, start=1):
            decision, note = policy(situation(options=options), at(15 * tick, detect=stage), note)
            log.append(decision.replicas["detect"])
        return log

    return of


def test_replicas_follow_utilisation_over_target(synced, seen):
    assert synced(hpa, [seen(replicas=10, utilisation=0.91)]) == [13]


def test_a_tenth_beside_the_target_changes_nothing(synced, seen):
    assert synced(hpa, [seen(replicas=10, utilisation=share) for share in (0.69, 0.76, 0.64)]) == [10, 10, 10]


def test_at_most_double_or_four_more_at_once(synced, seen):
    options = {"target_utilisation": 0.1}
    assert synced(hpa, [seen(replicas=2, utilisation=1.0)], options) == [6]
    assert synced(hpa, [seen(replicas=9, utilisation=1.0)], options) == [18]


def test_it_scales_down_to_the_largest_recommendation_of_five_minutes(synced, seen):
    low = seen(replicas=10, utilisation=0.35)
    log = synced(hpa, [low] * 21)
    assert log == [10] * 20 + [5]  # the count at the first sync is a recommendation, too


def test_replicas_that_start_count_as_idle_on_the_way_up(synced, seen):
    starting = seen(requested=15, ready=10, utilisation=1.0)
    assert synced(hpa, [starting]) == [15]  # 10 busy of 15 are 0.67: within the tolerance
    assert synced(hpa, [seen(requested=12, ready=10, utilisation=1.0)]) == [15]


def test_without_a_ready_replica_nothing_is_known(synced, seen):
    assert synced(hpa, [seen(requested=3, ready=0)]) == [3]


def test_keda_divides_the_queue_by_its_target(synced, seen):
    stages = [seen(replicas=4, queued=queued, in_service=4) for queued in (17, 26, 36)]
    assert synced(keda, stages) == [4, 6, 8]  # 21, 30 and 40 queries at 5 a replica
    assert synced(keda, [seen(replicas=4, queued=28, in_service=4)], {"queue_length": 16}) == [4]


def test_keda_keeps_the_largest_recommendation_of_five_minutes(synced, seen):
    log = synced(keda, [seen(replicas=4)] * 21)
    assert log == [4] * 20 + [1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 30), st.floats(0, 1), st.floats(0, 1))
def test_more_utilisation_never_means_fewer_replicas(situation, at, seen, replicas, one, other):
    low, high = sorted((one, other))
    counts = [
        hpa(situation(), at(15, detect=seen(replicas=replicas, utilisation=share)), None)[0].replicas["detect"]
        for share in (low, high)
    ]
    assert counts[0] <= counts[1]
