"""What is started, ended and started again, and when: timelines without a process."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from serving_adapter.replicas import SetKey
from serving_adapter.replicas.local.decisions import (
    CORE,
    CORE_GRACE_S,
    GRACE_S,
    Life,
    decide,
    ended,
    next_due_s,
    pause_s,
    started_again,
)

A, B = SetKey("a", "1", "cpu-1"), SetKey("b", "1", "cpu-1")


class World:
    """Processes that begin, get ready and end when a test says so, with a log of what was decided when."""

    def __init__(self, **wanted):
        self.now_s = 0.0
        self.lives: dict[str, Life] = {}
        self.log = []
        self.wanted = {}
        self._born = 0
        self.want(**wanted)

    def want(self, **replicas):
        keys = {"a": A, "b": B, "core": CORE}
        self.wanted |= {keys[name]: count for name, count in replicas.items()}
        return self.tick()

    def tick(self, now_s=None):
        """Decide at a time, and log it, until there is nothing left to decide."""
        self.now_s = self.now_s if now_s is None else now_s
        while actions := decide(self.wanted, list(self.lives.values()), self.now_s):
            for action in actions:
                self.log.append((self.now_s, action.what, self._done(action)))
        return self

    def run(self, until_s):
        """Pass time from one thing that is due to the next."""
        while (due_s := next_due_s(list(self.lives.values()))) <= until_s:
            self.tick(max(due_s, self.now_s))
        return self.tick(until_s)

    def ready(self, *names):
        self.lives |= {name: replace(self.lives[name], ready=True) for name in names}
        return self.tick()

    def ends(self, *names):
        """Have processes end, by themselves or because they were asked."""
        for name in names:
            if self.lives[name].asked_s is not None:
                del self.lives[name]
            else:
                self.lives[name] = ended(self.lives[name], self.now_s)
        return self.tick()

    def has_core(self):
        return any(life.key == CORE for life in self.lives.values())

    def phases(self):
        return {name: life.phase for name, life in self.lives.items()}

    def _done(self, action):
        name = action.id
        match action.what:
            case "start":
                name = f"{action.key.stage or 'core'}{self._born}"
                self.lives[name] = Life(id=name, key=action.key, born=self._born, started_s=self.now_s)
                self._born += 1
            case "again":
                self.lives[name] = started_again(self.lives[name], self.now_s)
            case "stop":
                assert self.wanted.get(CORE) or action.key == CORE or not self.has_core()
                self.lives[name] = replace(self.lives[name], asked_s=self.now_s)
            case "kill":
                self.lives[name] = replace(self.lives[name], killed=True)
            case "forget":
                del self.lives[name]
        return name


def test_starts_what_is_missing_and_nothing_more():
    world = World(a=1).tick(1).want(a=3).tick(2).want(a=3)
    assert world.log == [(0, "start", "a0"), (1, "start", "a1"), (1, "start", "a2")]


def test_stops_those_that_cannot_serve_first_then_the_newest():
    world = World(a=5).ready("a0", "a1", "a3")
    world.log.clear()
    world.ends("a1").tick(0.1)  # it waits to be started again
    world.want(a=4).want(a=3).want(a=2).want(a=1).want(a=0)
    assert world.log == [
        (0.1, "forget", "a1"),
        (0.1, "stop", "a4"),
        (0.1, "stop", "a2"),
        (0.1, "stop", "a3"),
        (0.1, "stop", "a0"),
    ]
    assert world.ends("a0", "a2", "a3", "a4").lives == {}


def test_one_that_is_ending_does_not_count():
    world = World(a=1).ready("a0").want(a=0).tick(1).want(a=1)
    assert world.log == [(0, "start", "a0"), (0, "stop", "a0"), (1, "start", "a1")]
    assert world.phases() == {"a0": "stopping", "a1": "starting"}


def test_starts_again_later_and_later():
    world = World(a=1)
    for _ in range(8):
        world.ends("a0").run(world.lives["a0"].due_s)
    assert world.log == [
        (0, "start", "a0"),
        (0.5, "again", "a0"),
        (1.5, "again", "a0"),
        (3.5, "again", "a0"),
        (7.5, "again", "a0"),
        (15.5, "again", "a0"),
        (31.5, "again", "a0"),
        (61.5, "again", "a0"),
        (91.5, "again", "a0"),
    ]
    assert (world.lives["a0"].restarts, world.lives["a0"].failures) == (8, 8)


def test_a_minute_of_life_is_a_new_beginning():
    world = World(a=1)
    for lived_s in (59, 59, 60, 0):
        world.tick(world.now_s + lived_s).ends("a0")
        world.log.append((world.now_s, "ends", "a0"))
        world.run(world.lives["a0"].due_s)
    assert world.log == [
        (0, "start", "a0"),
        (59, "ends", "a0"),
        (59.5, "again", "a0"),
        (118.5, "ends", "a0"),
        (119.5, "again", "a0"),
        (179.5, "ends", "a0"),
        (180, "again", "a0"),
        (180, "ends", "a0"),
        (181, "again", "a0"),
    ]
    assert world.lives["a0"].restarts == 4


def test_one_that_does_not_end_is_killed_once_after_its_grace():
    world = World(a=1).ready("a0").tick(100).want(a=0).run(200)
    assert world.log[1:] == [(100, "stop", "a0"), (100 + GRACE_S, "kill", "a0")]
    assert world.ends("a0").lives == {}


def test_the_core_ends_first_and_has_longer():
    world = World(core=1, a=1, b=1).ready("core0", "a1", "b2").tick(10)
    world.wanted = {}
    world.tick().tick(12).ends("core0").tick(13).ends("b2").run(500)
    assert world.log[3:] == [
        (10, "stop", "core0"),
        (12, "stop", "a1"),
        (12, "stop", "b2"),
        (12 + GRACE_S, "kill", "a1"),
    ]
    world = World(core=1, a=1).ready("core0", "a1")
    world.wanted = {}
    world.tick().run(500).ends("core0")
    assert world.log[2:] == [(0, "stop", "core0"), (CORE_GRACE_S, "kill", "core0"), (500, "stop", "a1")]


def test_replicas_end_while_the_core_stays():
    world = World(core=1, a=2, b=1).ready("core0", "a1", "a2").want(a=1, b=0)
    assert world.log[4:] == [(0, "stop", "a2"), (0, "stop", "b3")]


def test_a_core_that_has_ended_is_not_started_again_when_all_is_to_stop():
    world = World(core=1, a=1).ready("core0", "a1").ends("core0")
    world.wanted = {}
    assert world.tick().ends("a1").run(100).log[2:] == [(0, "forget", "core0"), (0, "stop", "a1")]


def test_nothing_is_due_while_nothing_has_ended():
    assert next_due_s([]) == next_due_s(list(World(a=2).ready("a0").lives.values())) == float("inf")


events = st.one_of(
    st.tuples(st.just("want"), st.sampled_from(["a", "b", "core"]), st.integers(0, 4)),
    st.tuples(st.sampled_from(["ready", "ends"]), st.integers(0, 11)),
    st.tuples(st.just("passes"), st.floats(0, 100)),
)


@given(st.lists(events, max_size=40))
@settings(deadline=None)
def test_whatever_happens_there_are_as_many_as_wanted(course):
    world = World(core=1)
    for event in course:
        match event:
            case ("want", "core", count):
                if world.wanted[CORE] or not world.has_core():  # else the former one is still ending
                    world.want(core=min(1, count))
            case ("want", name, count):
                world.want(**{name: count})
            case ("passes", seconds):
                world.run(world.now_s + seconds)
            case (what, number):
                names = [name for name, life in world.lives.items() if life.ended_s is None]
                if names:
                    getattr(world, what)(names[number % len(names)])
        going = [life for life in world.lives.values() if life.asked_s is None]
        for key, count in world.wanted.items():
            there = sum(life.key == key for life in going)
            assert there == count or (there > count and not world.wanted[CORE] and world.has_core())
        assert decide(world.wanted, list(world.lives.values()), world.now_s) == ()
    world.wanted = {}
    world.tick()
    world.ends(*(name for name, life in world.lives.items() if life.key == CORE))
    assert set(world.phases().values()) <= {"stopping"}
    world.ends(*world.lives)
    assert world.lives == {}


@given(st.integers(1, 10_000))
@settings(deadline=None)
def test_a_pause_never_shrinks_and_is_bounded(failures):
    assert 0.5 <= pause_s(failures) <= pause_s(failures + 1) <= 30
