"""Waiting until replicas can serve, on a clock that the tests wind."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferline.domain import Hardware
from inferline.errors import OutsideError
from serving_adapter.models import ModelEntry
from serving_adapter.replicas import Replica, ReplicaSet, SetKey, is_ready, wait

WANTED = ReplicaSet(
    deployment="d",
    stage="rank",
    model="d.rank",
    version="1",
    entry=ModelEntry(name="rank", kind="callable", target="m:f", folder=Path()),
    hardware=Hardware(name="cpu-1", price_nano_usd_per_hour=0),
    replicas=2,
)


def replica(number, phase="ready", message="", key=WANTED.key):
    return Replica(id=f"rank-{number}", key=key, phase=phase, message=message)


class Place:
    """A target whose replicas are there at the times that a test says."""

    def __init__(self, *course):
        self.now_s = 100.0
        self.looks = []
        self._course = course

    def list(self, deployment):
        assert deployment == "d"
        self.looks.append(round(self.now_s - 100, 3))
        return next(there for since_s, there in reversed(self._course) if self.now_s >= 100 + since_s)

    def clock(self):
        return self.now_s

    def pause(self, seconds):
        self.now_s = round(self.now_s + seconds, 3)


def test_is_ready_counts_its_own_set_and_ready_ones_only():
    keys = SetKey("rank", "2", "cpu-1"), SetKey("a", "1", "gpu")
    others = tuple(replica(number, key=key) for number, key in enumerate(keys))
    for there, enough in [
        ((), False),
        ((replica(0), replica(1, "starting"), *others), False),
        ((replica(0), replica(1, "failed"), replica(2, "stopping"), *others), False),
        ((replica(0), replica(1)), True),
        ((replica(0), replica(1), replica(2)), True),
    ]:
        assert is_ready(Place((0, there)), WANTED) is enough


def test_waits_until_enough_are_ready_and_tells_how_many_are():
    place = Place((0, ()), (0.1, (replica(0, "starting"),)), (0.2, (replica(0),)), (0.3, (replica(0), replica(1))))
    log = []
    wait(
        place,
        WANTED,
        10,
        observe=lambda ready: log.append((place.looks[-1], ready)),
        clock=place.clock,
        pause=place.pause,
    )
    assert log == [(0.0, 0), (0.1, 0), (0.2, 1), (0.3, 2)]


def test_looks_once_more_at_the_very_end():
    place = Place((0, ()), (0.25, (replica(0), replica(1))))
    wait(place, WANTED, 0.25, clock=place.clock, pause=place.pause)
    assert place.looks == [0.0, 0.1, 0.2, 0.3]


def test_says_each_reason_once_when_time_is_up():
    said = "ended with exit code 1"
    there = (replica(0), replica(1, "failed", said), replica(1, "failed", said), replica(2, "starting"))
    place = Place((0, there))
    with pytest.raises(OutsideError) as caught:
        wait(place, WANTED, 0.2, clock=place.clock, pause=place.pause)
    assert str(caught.value) == (
        "stage 'rank': 1 of 2 replicas on cpu-1 were ready after 0.2 s; rank-1 is failed: ended with exit code 1"
    )


def test_says_when_nobody_knows_why():
    place = Place((0, ()))
    with pytest.raises(OutsideError, match=r"0 of 2 replicas on cpu-1 were ready after 0 s; none says why$"):
        wait(place, WANTED, 0, clock=place.clock, pause=place.pause)
    assert place.looks == [0.0, 0.0]
