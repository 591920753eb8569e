"""What is done about drift: one thing at a time, only by who leads, and what becomes of each attempt."""

from __future__ import annotations

from dataclasses import replace
from threading import Event
from time import monotonic, monotonic_ns, sleep

import numpy as np
import pytest

from inferline.errors import OutsideError
from tuner.drift import DriftRules
from tuner.plans import Moved, Proposal
from tuner.protocols import ArrivalsSeen, StageArrivals
from tuner.replanning import Replanning

S = 1_000_000_000
RULES = DriftRules(sustained_ns=10 * S, below_ns=60 * S, cool_down_ns=100 * S, least_queries=50)
BETTER = Proposal(
    message="better",
    changes={"read": "more"},
    figures={"saving_usd_per_hour": 2.0},
    worth=True,
    stages=frozenset({"read"}),
)


class Replanner:
    """Answers when it is let go; notes what it was asked."""

    def __init__(self):
        self.answer, self.moved = BETTER, Moved(message="there")
        self.samples, self.moves, self.cancelled = [], 0, 0
        self.planning, self.moving = Event(), Event()
        self.planning.set()
        self.moving.set()
        self.halt = None

    def plan(self, _, sample):
        self.samples.append(sample)
        assert self.planning.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def move(self, proposal, tell, halt):
        assert proposal is self.answer
        self.moves += 1
        self.halt = halt
        tell("start read")
        while not self.moving.wait(0.005):
            if halt.is_set():
                return Moved(failure="told to halt", message="the old plan is in force")
        return self.moved

    def cancel(self):
        self.cancelled += 1
        self.planning.set()


class Watched:
    """A pipeline planned for 20 queries/s, half of which go on; looked at once a second of the test's clock."""

    def __init__(self, situation, **options):
        self.situation = situation
        self.replanner = Replanner()
        self.replanning = Replanning(self.replanner, situation, RULES, **options)
        self.leading = self.quiet = True
        self.now_s, self.log = 0, []
        self.rate = 20

    def tick(self, seconds=1):
        for _ in range(seconds):
            self.now_s += 1
            times = np.arange(max(0, self.now_s - 120) * self.rate, self.now_s * self.rate, dtype=np.int64)
            stages = {
                name: StageArrivals(arrival_ns=at_ns, queued=0, in_service=0, ready=2, utilisation=0.5)
                for at_ns in (times * S // self.rate + 1,)
                for name, at_ns in (("detect", at_ns), ("read", at_ns[::2]))
            }
            seen = ArrivalsSeen(source="one", now_ns=self.now_s * S, age_ns=0, stages=stages)
            self._tick(seen)

    def _tick(self, seen):
        records = self.replanning.tick(self.situation, seen, self.now_s * S, leading=self.leading, quiet=self.quiet)
        self.log += [(self.now_s, each.event) for each in records]

    def until(self, event):
        """Let the real time pass that threads need; the test's does not."""
        end = monotonic() + 10
        while event not in [each for _, each in self.log]:
            assert monotonic() < end, self.log
            self._tick(None)
            sleep(0.002)


@pytest.fixture
def watched(two_stages):
    situation = two_stages()
    envelope = replace(situation.plan.envelope, window_s=(10.0, 60.0), max_queries=(210, 1210))
    situation = replace(situation, plan=replace(situation.plan, envelope=envelope))
    made = []

    def of(**options):
        made.append(Watched(situation, **options))
        return made[-1]

    yield of
    for each in made:
        each.replanner.planning.set()
        each.replanning.close(5)


def test_traffic_as_planned_has_nothing_done(watched):
    at = watched()
    at.tick(200)
    assert (at.log, at.replanning.state.doing) == ([], "watching")


def test_drift_is_planned_for_and_said_and_not_again_at_once(watched):
    at = watched()
    at.rate = 40
    at.tick(60)
    at.until("replan_change")
    at.tick(20)
    events = [event for _, event in at.log]
    assert events == ["drifted", "replanned", "replan_change"]
    assert at.log[0][0] == 27  # more than 1.2 times as many in 10 s after 7 s; then 10 s, and a window
    (sample,) = at.replanner.samples
    assert sample.arrival_ns.size / (sample.duration_ns / S) == pytest.approx(40)
    assert (at.replanning.state.saving_usd_per_hour, at.replanner.moves) == (2.0, 0)


def test_a_plan_that_is_better_is_moved_to_when_nothing_is_on_its_way(watched):
    at = watched(applies=True)
    at.replanner.moving.clear()
    at.quiet, at.rate = False, 40
    at.tick(40)
    at.until("replanned")
    at.tick(3)
    assert (at.replanner.moves, at.replanning.moving) == (0, {"read"})
    at.quiet = True
    at.until("moving")
    assert (at.replanning.state.doing, at.replanning.moving) == ("moving", {"read"})
    at.replanning.adopted()
    at.tick()
    assert at.replanning.moving == {"read"}  # what is too many has not gone yet
    at.replanner.moving.set()
    at.until("moved")
    assert (at.replanning.moving, at.replanning.state.doing) == (set(), "watching")


def test_after_a_move_stages_are_left_alone_until_the_plan_is_noticed_but_not_for_ever(watched):
    at = watched(applies=True)
    at.rate = 40
    at.tick(40)
    at.until("moved")
    assert at.replanning.moving == {"read"}
    at.replanning.adopted()
    assert at.replanning.moving == set()
    at = watched(applies=True)
    at.rate = 40
    at.tick(40)
    at.until("moved")
    at.tick(31)
    assert at.replanning.moving == set()


@pytest.mark.parametrize("answer", [replace(BETTER, worth=False), OutsideError("no answer")])
def test_what_is_no_better_or_fails_is_said_and_moved_to_by_nobody(watched, answer):
    at = watched(applies=True)
    at.replanner.answer = answer
    at.rate = 40
    at.tick(40)
    failed = isinstance(answer, Exception)
    at.until("replan_failed" if failed else "replan_change")
    at.tick(5)
    assert at.replanner.moves == 0
    assert at.replanning.state.failure == ("no answer" if failed else "")


def test_a_dry_run_only_says_it(watched):
    at = watched(applies=True, dry_run=True)
    at.rate = 40
    at.tick(40)
    at.until("would_move")
    at.tick(5)
    assert (at.replanner.moves, at.replanning.moving) == (0, set())


def test_one_that_stands_by_neither_plans_nor_moves(watched):
    at = watched(applies=True)
    at.leading, at.rate = False, 40
    at.tick(60)
    assert (at.log, at.replanner.samples) == ([], [])
    at.leading = True
    at.replanner.moving.clear()
    at.tick()
    at.until("moving")
    at.leading = False
    at.until("move_failed")
    assert at.replanner.halt.is_set()
    assert at.replanning.state.failure == "told to halt"
    assert at.replanning.moving == set()


def test_a_plan_for_another_plan_than_the_one_in_force_is_forgotten(watched):
    at = watched(applies=True)
    at.replanner.planning.clear()
    at.rate = 40
    at.tick(30)
    at.until("drifted")
    assert at.replanning.state.doing == "planning"
    at.replanning.adopted()
    assert at.replanner.cancelled == 1
    end = monotonic() + 10
    while at.replanning.state.doing != "watching":
        assert monotonic() < end
        at.tick(0)
        at._tick(None)
    assert [event for _, event in at.log] == ["drifted"]


def test_the_end_stops_a_move_and_waits_for_it(watched):
    at = watched(applies=True)
    at.replanner.moving.clear()
    at.rate = 40
    at.tick(40)
    at.until("moving")
    began_ns = monotonic_ns()
    (*_, last) = at.replanning.close(5)
    assert (last.event, last.message) == ("move_failed", "told to halt; the old plan is in force")
    assert monotonic_ns() - began_ns < 4 * S
