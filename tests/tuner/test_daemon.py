"""The loop, with an outside that answers, fails and hangs; its clock is the real one, its ticks are short."""

from __future__ import annotations

from threading import Event, Thread
from time import monotonic, monotonic_ns, sleep
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest

from inferline.errors import OutsideError
from tuner.control import Record, Rules
from tuner.daemon import Daemon, Parts, record_words
from tuner.health import Health, HealthServer
from tuner.plans import InForce, Unfit
from tuner.protocols import ArrivalsSeen, StageArrivals
from tuner.replanning import ReplanningState

TICK_NS = 20_000_000


class World:
    """Arrivals, replicas and a lease in one; each may be told to hang or to fail."""

    def __init__(self):
        self.counts = {"detect": 2, "read": 2}
        self.asked = []
        self.hanging = set()
        self.failing = set()
        self.gate = Event()
        self.looks = 0
        self.held = True
        self.released = False

    def _pass(self, name):
        if name in self.hanging:
            self.gate.wait()
        if name in self.failing:
            raise OutsideError(f"no {name}")

    def look(self):
        self._pass("look")
        self.looks += 1
        seen = {
            name: StageArrivals(
                arrival_ns=np.empty(0, dtype=np.int64), queued=0, in_service=0, ready=count, utilisation=0.0
            )
            for name, count in self.counts.items()
        }
        return ArrivalsSeen(source="one", now_ns=monotonic_ns(), age_ns=0, stages=seen)

    def requested(self):
        self._pass("requested")
        return dict(self.counts)

    def ask(self, stage, replicas):
        self._pass("ask")
        self.asked.append((stage, replicas))
        self.counts[stage] = replicas

    def hold(self):
        self._pass("hold")
        return monotonic_ns() + 200_000_000 if self.held else None

    def release(self):
        self.released = True

    def close(self):
        """Keep nothing."""


@pytest.fixture
def started(play, two_stages):
    """Return a function: starts a daemon on a world, and returns it with its policy, its records and its health."""
    ends = []

    def start(world, *, lease=False, **parts):
        situation = two_stages()
        policy = play(situation).policy
        names = list(world.counts)
        rules = Rules(
            floor=dict.fromkeys(names, 1),
            time_out_ns=dict.fromkeys(names, 10**9),
            calm_ns=dict.fromkeys(names, 0),
            tick_ns=TICK_NS,
            period_ns=TICK_NS,
            settle_ns=0,
            jump_ticks=500,
            first_back_off_ns=TICK_NS,
        )
        health, records = Health(TICK_NS), []
        daemon = Daemon(
            Parts(
                situation=situation,
                policy=policy,
                rules=rules,
                arrivals=world,
                replicas=world,
                health=health,
                lease=world if lease else None,
                limit_s=0.1,
                watch=lambda _, __, outcome: records.extend(outcome.records),
                **parts,
            )
        )
        thread = Thread(target=daemon.run)
        thread.start()
        ends.append((world, daemon, thread))
        return daemon, policy, records, health

    yield start
    for world, daemon, thread in ends:
        daemon.stop()
        world.gate.set()
        thread.join(10)
        assert not thread.is_alive()


def until(condition, seconds=10.0):
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, "it did not happen"
        sleep(0.005)


def events(records):
    return [record.event for record in records]


def test_it_asks_for_what_the_policy_wants_and_leaves_it_at_the_end(started):
    world = World()
    daemon, policy, records, health = started(world)
    until(health.ready)
    policy.wants = {"detect": 4}
    until(lambda: world.asked == [("detect", 4)])
    until(lambda: "confirmed" in events(records))
    daemon.stop()
    assert world.counts == {"detect": 4, "read": 2}


@pytest.mark.parametrize(("what", "event"), [("look", "lost"), ("requested", "unreachable")])
def test_an_outside_that_hangs_does_not_stop_it_from_ticking(started, what, event):
    world = World()
    _, policy, records, health = started(world)
    until(health.ready)
    world.hanging.add(what)
    until(lambda: event in events(records))
    policy.wants = {"detect": 1}
    ticked = len(policy.notes)
    assert health.healthy()
    assert not health.ready()
    world.hanging.clear()
    world.gate.set()
    until(lambda: world.asked == [("detect", 1)])
    assert health.ready()
    assert len(policy.notes) > ticked
    assert events(records).count(event) == 1


def test_asking_that_hangs_is_not_repeated_before_it_has_returned(started):
    world = World()
    _, policy, records, health = started(world)
    until(health.ready)
    world.hanging.add("ask")
    policy.wants = {"detect": 4}
    until(lambda: [record.message for record in records if "has not returned" in record.message])
    assert world.asked == []
    world.hanging.clear()
    world.gate.set()
    until(lambda: world.counts["detect"] == 4)
    until(lambda: {"confirmed", "landed"} & set(events(records)))
    assert "operator" not in events(records)


def test_a_lost_lease_holds(started):
    world = World()
    daemon, policy, records, _ = started(world, lease=True)
    until(lambda: "leading" in events(records) or policy.notes)
    world.failing.add("hold")
    until(lambda: "standby" in events(records))  # it has run out, whatever Redis may say
    policy.wants = {"detect": 4}
    before = len(policy.notes)
    until(lambda: len(policy.notes) > before + 5)
    assert world.asked == []
    world.failing.clear()
    until(lambda: world.asked == [("detect", 4)])
    daemon.stop()
    until(lambda: world.released)


def test_a_policy_that_fails_changes_nothing_and_is_asked_again(started, caplog):
    world = World()
    _, policy, _, health = started(world)
    until(health.ready)
    policy.wants = {"detect": "many"}
    until(lambda: "event=tick_failed" in caplog.text)
    assert world.asked == []
    policy.wants = {"detect": 3}
    until(lambda: world.asked == [("detect", 3)])


def test_the_endpoint_tells_how_it_is(started):
    world = World()
    world.failing.add("look")
    _, _, records, health = started(world)

    def status(at, path):
        try:
            with urlopen(f"http://127.0.0.1:{at.port}{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except HTTPError as error:
            with error:
                return error.code, ""

    with HealthServer(health) as at:
        until(lambda: "lost" in events(records))
        assert status(at, "/ready")[0] == 503
        assert status(at, "/health") == (200, "yes\n")
        assert 'inferline_tuner_holding{reason="lost"} 1.0' in status(at, "/metrics")[1]
        world.failing.clear()
        until(lambda: status(at, "/ready")[0] == 200)
        told = status(at, "/metrics")[1]
        assert 'inferline_tuner_holding{reason="lost"} 0.0' in told
        assert 'inferline_tuner_requested_replicas{stage="read"} 2.0' in told
        assert status(at, "/none")[0] == 404
        with pytest.raises(OutsideError, match="cannot listen"):
            HealthServer(health, at.port)


class Plans:
    """Says what it was told to, once."""

    def __init__(self):
        self.next = None
        self.looks = 0

    def look(self):
        self.looks += 1
        found, self.next = self.next, None
        if isinstance(found, Exception):
            raise found
        return found


def test_another_plan_in_force_is_gone_on_with(started, two_stages, caplog):
    caplog.set_level("INFO")
    world, other, plans = World(), World(), Plans()
    other.counts = {"detect": 3, "read": 1}
    daemon, policy, _, health = started(world, plans=plans)
    until(health.ready)
    policy.wants = {"detect": 4}
    until(lambda: world.asked == [("detect", 4)])
    plans.next = OutsideError("no answer")
    until(lambda: 'event=plan_unknown message="no answer"' in caplog.text)
    situation = two_stages()
    plans.next = InForce(situation=situation, rules=daemon._force.rules, replicas=other)
    until(lambda: other.asked == [("detect", 4)])
    assert "event=plan_changed" in caplog.text
    assert "event=operator" not in caplog.text
    plans.next = Unfit(reason="other stages")
    until(lambda: 'event=unfit message="other stages"' in caplog.text)
    policy.wants = {"detect": 5}
    asked = len(policy.notes)
    until(lambda: len(policy.notes) > asked + 5)
    assert other.asked == [("detect", 4)]
    plans.next = InForce(situation=situation, rules=daemon._force.rules, replicas=other)
    until(lambda: other.asked == [("detect", 4), ("detect", 5)])
    assert world.asked == [("detect", 4)]


def test_the_endpoint_tells_how_planning_anew_stands():
    health = Health(TICK_NS)
    assert health.told() == ""
    health.note_replanning(ReplanningState(doing="planning"))
    assert health.told() == "replanning: planning\n"
    assert b'inferline_tuner_replanning{doing="planning"} 1.0' in health.metrics()
    assert b"saving" not in health.metrics()
    health.note_replanning(ReplanningState(saving_usd_per_hour=0.25, failure="no replica can serve"))
    assert health.told() == "replanning: watching, last saving 0.25 $/h, last failure: no replica can serve\n"
    assert b"inferline_tuner_replan_saving_usd_per_hour 0.25" in health.metrics()
    with HealthServer(health) as at, urlopen(f"http://127.0.0.1:{at.port}/health", timeout=5) as reply:
        assert reply.read().decode() == f"yes\n{health.told()}"


def test_figures_stand_before_words():
    record = Record(event="replanned", figures={"saving_usd_per_hour": -0.5}, message="dearer")
    assert record_words(record) == 'event=replanned saving_usd_per_hour=-0.5 message="dearer"'
