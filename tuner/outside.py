"""Calls to the outside, each in a thread with a time limit, so that one that hangs stops nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic_ns
from typing import Generic, TypeVar

from inferline.errors import InferlineError
from inferline.units import NANO, format_duration

__all__ = ["Answer", "Outside"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[T]):
    """What came of a call.

    Parameters
    ----------
    value
        What it returned; None when it failed.
    failure
        Why it failed; empty when it did not.
    begun_ns, ended_ns
        When it was made and when it was over, monotonic.
    """

    value: T | None
    failure: str
    begun_ns: int
    ended_ns: int


class _Call(Generic[T]):
    """A call that is being made."""

    def __init__(self, name: str, function: Callable[[], T]) -> None:
        self.begun_ns = monotonic_ns()
        self.over = Event()
        self.answer: Answer[T] | None = None
        self._function = function
        Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        value, failure = None, ""
        try:
            value = self._function()
        except InferlineError as error:
            failure = str(error)
        except Exception as error:  # of a client that has bugs: the daemon goes on
            failure = f"{type(error).__name__}: {error}"
        self.answer = Answer(value=value, failure=failure, begun_ns=self.begun_ns, ended_ns=monotonic_ns())
        self.over.set()


class Outside(Generic[T]):
    """One place outside that is asked one thing at a time.

    Parameters
    ----------
    name
        What is asked, for messages.
    limit_s
        After so long a call is given up; its thread may hang on.
    most_hanging
        When so many hang, nothing more is asked until one has returned. 1 where calls change something: nobody knows
        what one that hangs may still do.
    """

    def __init__(self, name: str, limit_s: float, most_hanging: int = 3) -> None:
        self.name = name
        self._limit_s = limit_s
        self._most_hanging = most_hanging
        self._call: _Call[T] | None = None
        self._lost: list[_Call[T]] = []

    @property
    def is_busy(self) -> bool:
        """Whether a call is being made whose answer was not taken."""
        return self._call is not None

    def ask(self, function: Callable[[], T]) -> bool:
        """Make a call; False when one is being made, or too many hang."""
        self._lost = [each for each in self._lost if not each.over.is_set()]
        if self._call is not None or len(self._lost) >= self._most_hanging:
            return False
        self._call = _Call(self.name, function)
        return True

    def answer(self, wait_s: float = 0.0) -> Answer[T] | None:
        """Return what came of the call, once; None while it is being made, or when there is none.

        Parameters
        ----------
        wait_s
            How long to wait for it; never beyond its limit.
        """
        call = self._call
        if call is None:
            return None
        left_s = self._limit_s - (monotonic_ns() - call.begun_ns) / NANO
        if call.over.wait(max(0.0, min(wait_s, left_s))) and call.answer is not None:
            self._call = None
            return call.answer
        now_ns = monotonic_ns()
        if now_ns - call.begun_ns < self._limit_s * NANO:
            return None
        self._call = None
        self._lost.append(call)
        failure = f"{self.name}: no answer within {format_duration(round(self._limit_s * NANO))}"
        return Answer(value=None, failure=failure, begun_ns=call.begun_ns, ended_ns=now_ns)
