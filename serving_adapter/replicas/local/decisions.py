"""What is to be started, ended and started again, and when: pure decisions, the clock is an argument."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from serving_adapter.replicas.protocol import Phase, SetKey

__all__ = ["CORE", "Action", "Life", "decide", "ended", "next_due_s", "pause_s", "started_again"]

CORE = SetKey("", "", "serving core")
"""Where the serving core stands among the sets; no stage is without a name."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0

STEADY_S = 60.0
"""What has lived for so long has begun well: its next end counts as the first."""

GRACE_S = 30.0
"""For the batch in hand, before force is used."""

CORE_GRACE_S = 60.0
"""For the queries in flight, which the serving core waits for 30 s itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One replica, or the serving core, through all of its processes.

    Parameters
    ----------
    id
        What it is called.
    key
        The set that it belongs to.
    born
        Counts up from one new replica to the next.
    started_s
        When its process was started, monotonic.
    ready
        Whether it can serve.
    ended_s
        When its process ended by itself; None while it runs.
    asked_s
        When it was asked to end; None as long as it is wanted.
    killed
        Whether it has been ended by force.
    failures
        How often in a row it has ended by itself within `STEADY_S`; the first end after a long life counts as one.
    restarts
        How often it has been started again.
    """

    id: str
    key: SetKey
    born: int
    started_s: float
    ready: bool = False
    ended_s: float | None = None
    asked_s: float | None = None
    killed: bool = False
    failures: int = 0
    restarts: int = 0

    @property
    def phase(self) -> Phase:
        """What the protocol of targets calls its state."""
        if self.asked_s is not None:
            return "stopping"
        if self.ended_s is not None:
            return "failed"
        return "ready" if self.ready else "starting"

    @property
    def due_s(self) -> float:
        """When something is to be done about it that no other event brings about; infinity for never."""
        if self.asked_s is not None:
            return math.inf if self.killed else self.asked_s + (CORE_GRACE_S if self.key == CORE else GRACE_S)
        return math.inf if self.ended_s is None else self.ended_s + pause_s(self.failures)


class Action(NamedTuple):
    """One thing to do.

    Parameters
    ----------
    what
        ``start`` a new replica, start one ``again``, ``stop`` it (after its batch), ``kill`` it, or ``forget`` it.
    key
        The set.
    id
        The replica; empty for a new one.
    """

    what: Literal["start", "again", "stop", "kill", "forget"]
    key: SetKey
    id: str = ""


def pause_s(failures: int) -> float:
    """Return how long to wait before a replica is started again: it doubles up to `LONGEST_PAUSE_S`.

    Examples
    --------
    >>> [pause_s(failures) for failures in (1, 2, 3, 6, 7, 5000)]
    [0.5, 1.0, 2.0, 16.0, 30.0, 30.0]
    """
    return LONGEST_PAUSE_S if failures > 10 else min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (failures - 1))


def ended(life: Life, now_s: float) -> Life:
    """Return it after its process has ended by itself."""
    failures = 1 if now_s - life.started_s >= STEADY_S else life.failures + 1
    return replace(life, ready=False, ended_s=now_s, failures=failures)


def started_again(life: Life, now_s: float) -> Life:
    """Return it with its next process."""
    return replace(life, ready=False, ended_s=None, started_s=now_s, restarts=life.restarts + 1)


def next_due_s(lives: Sequence[Life]) -> float:
    """Return when `decide` has to be asked again though nothing happens; infinity for never."""
    return min((life.due_s for life in lives), default=math.inf)


def decide(wanted: Mapping[SetKey, int], lives: Sequence[Life], now_s: float) -> tuple[Action, ...]:
    """Compare what is wanted with what there is.

    Too many replicas of a set end in this order: those that wait to be started again, those that cannot serve yet,
    the newest. While the serving core ends, no replica is asked to: it needs them for the queries in flight.

    Parameters
    ----------
    wanted
        How many of each set; none of those that are not there.
    lives
        All that there are, those asked to end included, until they have.
    now_s
        Monotonic clock.

    Examples
    --------
    >>> key = SetKey("rank", "1", "cpu-1")
    >>> decide({key: 1}, [], 0.0)
    (Action(what='start', key=SetKey(stage='rank', version='1', hardware='cpu-1'), id=''),)
    """
    actions: list[Action] = []
    for key in dict.fromkeys([*wanted, *(life.key for life in lives)]):
        here = [life for life in lives if life.key == key]
        actions += _of_set(key, wanted.get(key, 0), here, now_s)
    if not wanted.get(CORE) and any(life.key == CORE for life in lives):
        actions = [action for action in actions if action.what != "stop" or action.key == CORE]
    return tuple(actions)


def _of_set(key: SetKey, count: int, lives: Sequence[Life], now_s: float) -> Iterator[Action]:
    going = sorted((life for life in lives if life.asked_s is None), key=_worth)
    kept, surplus = going[:count], going[count:]
    for life in reversed(surplus):
        yield Action("forget" if life.ended_s is not None else "stop", key, life.id)
    for life in kept:
        if life.ended_s is not None and now_s >= life.due_s:
            yield Action("again", key, life.id)
    for _ in range(count - len(kept)):
        yield Action("start", key)
    for life in lives:
        if life.asked_s is not None and now_s >= life.due_s:
            yield Action("kill", key, life.id)


def _worth(life: Life) -> tuple[int, int]:
    """Return what to sort by: those that are kept come first."""
    return ("ready", "starting", "failed", "stopping").index(life.phase), life.born
