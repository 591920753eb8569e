"""Plans at run time: the one that is in force, and those that are made anew; what the outside is asked about both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

from tuner.control import Rules
from tuner.observed import Sample
from tuner.protocols import Replicas
from tuner.situation import Situation

__all__ = ["InForce", "Moved", "Plans", "Proposal", "Replanner", "Unfit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """A plan that is in force, and all that depends on it.

    Parameters
    ----------
    situation, rules
        As for `tuner.controller.tick`.
    replicas
        Where the replicas are asked for that it runs on.
    """

    situation: Situation
    rules: Rules
    replicas: Replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """Something is in force that this daemon cannot scale."""

    reason: str


class Plans(Protocol):
    """Which plan is in force."""

    def look(self) -> InForce | Unfit | None:
        """Return what is in force, when that is not what it was at the look before; None when it is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a planner makes of the traffic that was observed.

    Parameters
    ----------
    message
        In words: what it is, and what to do next.
    changes
        By stage, what would change, in words.
    figures
        Dollars per hour and the like, by name; ``saving_usd_per_hour`` among them where there is a plan.
    worth
        Whether it is better than the plan in force: cheaper, or it meets the SLO that the other one misses.
    stages
        Those whose replicas others change while it is moved over to.
    """

    message: str
    changes: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    worth: bool = False
    stages: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How a move has ended.

    Parameters
    ----------
    failure
        Why it did not come to its end; empty when it did.
    message
        How it stands.
    """

    failure: str = ""
    message: str = ""


class Replanner(Protocol):
    """Who plans anew, and moves what runs to what was planned. Calls take their time: they are made in threads."""

    def plan(self, situation: Situation, sample: Sample) -> Proposal:
        """Plan for what was observed.

        Raises OutsideError when there is no answer, as when the time is over.
        """
        ...

    def move(self, proposal: Proposal, tell: Callable[[str], None], halt: Event) -> Moved:
        """Move over to the last proposal; stop before the next change when told to halt.

        Parameters
        ----------
        proposal
            The last that `plan` has made.
        tell
            Told of each step when it begins.
        halt
            Set when nothing more may be changed.
        """
        ...

    def cancel(self) -> None:
        """End the planning that is going on, if any."""
