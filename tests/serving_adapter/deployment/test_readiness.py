"""Waiting until replicas can serve and have registered, and until they have gone, on a clock that the tests wind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from inferline.domain import Hardware
from inferline.errors import OutsideError
from serving_adapter.deployment.readiness import await_gone, await_ready
from serving_adapter.models import ModelEntry
from serving_adapter.replicas import Replica, ReplicaSet, SetKey

READ = ReplicaSet(
    deployment="d",
    stage="read",
    model="d.read",
    version="1",
    entry=ModelEntry(name="read", kind="callable", target="m:f", folder=Path()),
    hardware=Hardware(name="cpu", price_nano_usd_per_hour=0),
    replicas=2,
)
SORT = replace(READ, stage="sort", model="d.sort", replicas=1)


def replica(number, phase="ready", message="", *, key=READ.key, restarts=0):
    return Replica(id=f"{key.stage}-{number}", key=key, phase=phase, message=message, restarts=restarts)


def sort(number, *more):
    return replica(number, *more, key=SORT.key)


class Place:
    """A target and a serving core, where replicas are and have registered at the times that a test says."""

    def __init__(self, *course):
        self.now_s = 100.0
        self._course = course

    def _now(self):
        return next(state for since_s, *state in reversed(self._course) if self.now_s >= 99.999 + since_s)

    def list(self, deployment):
        assert deployment == "d"
        return self._now()[0]

    def get_all_containers(self):
        return [{"model_name": f"d.{stage}", "model_version": "1"} for stage in self._now()[1]]

    def pause(self, seconds):
        self.now_s += seconds

    def waited(self, sets=(READ, SORT), timeout_s=10.0):
        """Wait, and return what was observed when."""
        log = []
        await_ready(
            self,
            self,
            sets,
            timeout_s,
            observe=lambda key, ready: log.append((round(self.now_s - 100, 3), key.stage, ready)),
            clock=lambda: self.now_s,
            pause=self.pause,
        )
        return log


def test_all_sets_can_serve_and_have_registered():
    place = Place(
        (0, (), []),
        (0.2, (replica(0), replica(1, "starting"), sort(0)), ["sort"]),
        (0.4, (replica(0), replica(1), sort(0)), ["sort", "read"]),
        (0.6, (replica(0), replica(1), sort(0)), ["sort", "read", "read"]),
    )
    assert place.waited() == [
        (0.0, "read", 0),
        (0.0, "sort", 0),
        (0.2, "read", 1),
        (0.2, "sort", 1),
        (0.4, "read", 2),
        (0.4, "sort", 1),
        (0.6, "read", 2),
        (0.6, "sort", 1),
    ]


def test_replicas_of_the_same_version_on_other_hardware_have_to_have_registered_too():
    other = replica(7, key=SetKey("read", "1", "gpu"))
    place = Place(
        (0, (replica(0), replica(1), other), ["read", "read"]),
        (0.2, (replica(0), replica(1), other), ["read"] * 3),
    )
    assert place.waited([READ]) == [(0.0, "read", 2), (0.2, "read", 2)]


def test_nothing_to_wait_for():
    assert Place((0, (), [])).waited([]) == []


def test_time_is_up():
    there = (
        replica(0),
        replica(1, "failed", "exit code 1"),
        replica(2, "failed", "exit code 1"),
        sort(0, "starting"),
    )
    with pytest.raises(OutsideError) as caught:
        Place((0, there, [])).waited(timeout_s=1)
    assert str(caught.value) == (
        "stage 'read': 1 of 2 replicas on cpu can serve after 1 s; "
        "read-1 is failed: exit code 1; read-2 is failed: exit code 1"
    )


def test_a_replica_that_can_serve_is_no_reason():
    there = (replica(0, "ready", "over-subscribed"), replica(1, "starting"))
    with pytest.raises(OutsideError, match=r"1 of 2 replicas on cpu can serve after 0 s; none says why$"):
        Place((0, there, [])).waited([READ], timeout_s=0)


def test_what_ends_again_and_again_is_not_waited_for():
    place = Place(
        (0, (replica(0), replica(1, "failed", "no such file")), []),
        (0.2, (replica(0), replica(1, "starting", restarts=1)), []),
        (0.4, (replica(0), replica(1, "failed", "no such file", restarts=1)), []),
        (0.6, (replica(0), replica(1, "failed", "no such file", restarts=2)), []),
    )
    with pytest.raises(OutsideError, match=r"and the others end again and again; read-1 is failed: no such file"):
        place.waited([READ], timeout_s=300)
    assert place.now_s == pytest.approx(100.6)


def test_replicas_that_cannot_reach_the_core():
    place = Place((0, (sort(0),), []))
    with pytest.raises(OutsideError, match=r"'sort': all replicas run, but not all have registered .* after 1 s"):
        place.waited([SORT], timeout_s=1)


def test_gone_when_so_many_are_left():
    place = Place((0, (replica(0), replica(1, "stopping"), sort(0)), []), (0.4, (replica(0), sort(0)), []))
    await_gone(place, "d", READ.key, 1, 10, clock=lambda: place.now_s, pause=place.pause)
    assert place.now_s == pytest.approx(100.4)


@pytest.mark.parametrize(("key", "what"), [(READ.key, "stage 'read' on cpu"), (None, "pipeline 'd'")])
def test_what_does_not_end_is_named(key, what):
    place = Place((0, (replica(0, "stopping"),), []))
    with pytest.raises(OutsideError, match=rf"^{what}: 1 of 1 replicas have still to end after 1 s: read-0; "):
        await_gone(place, "d", key, 0, 1, clock=lambda: place.now_s, pause=place.pause)
