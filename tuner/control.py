"""What goes into a tick of the autoscaler and what comes out of it: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from inferline.units import NANO
from tuner.protocols import ArrivalsSeen
from tuner.situation import Reason

__all__ = ["Asked", "Change", "Outcome", "Record", "Rules", "Seen", "StageState", "State"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The constants of the controller; all are our choices.

    Parameters
    ----------
    floor
        By stage, the least replicas that are ever asked for.
    time_out_ns
        By stage, how long a change may take from asking to the last replica, before others go on without it.
    tick_ns
        From one tick to the next.
    period_ns
        From one call of the policy to the next.
    stale_ticks
        What is older than so many ticks is not acted upon.
    jump_ticks
        A tick that comes so many ticks after the one before was not late: the clock has jumped.
    settle_ns
        Nothing goes down for so long after windows began anew.
    calm_ns
        By stage: it goes down to the most that was wanted in so long. The paper's tuner waits for three activation
        delays before it goes down (Crankshaw et al., SoCC 2020, section 5).
    operator_ns
        How long a count that somebody else has set stays.
    first_back_off_ns, longest_back_off_ns
        Time to the next attempt after a failure: twice as long after each.
    patient_failures
        Scale-downs wait for a scale-up until it has failed so often.
    dry_run
        Only say what would be done.
    """

    floor: Mapping[str, int]
    time_out_ns: Mapping[str, int]
    calm_ns: Mapping[str, int]
    tick_ns: int = NANO
    period_ns: int = NANO
    stale_ticks: int = 5
    jump_ticks: int = 10
    settle_ns: int = 30 * NANO
    operator_ns: int = 300 * NANO
    first_back_off_ns: int = NANO
    longest_back_off_ns: int = 60 * NANO
    patient_failures: int = 3
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What is known at a tick.

    Parameters
    ----------
    now_ns
        This process's monotonic clock.
    arrivals
        The last that was seen of the queries; None when nothing ever was.
    arrivals_ns
        The instant, on the clock of `now_ns`, that it is about.
    lost
        Why there is nothing newer; empty where there is nothing to say.
    requested
        Replicas that are asked for at the target, by stage, every one of the pipeline; None when it cannot be asked.
    unreachable
        Why it cannot.
    refused
        By stage, why asking failed since the tick before.
    leading
        Whether this daemon may change anything.
    moving
        Stages that are being moved to another plan: others change them now.
    unfit
        Why what is deployed is nothing that this daemon can scale; empty when it is.
    """

    now_ns: int
    arrivals: ArrivalsSeen | None
    arrivals_ns: int = 0
    lost: str = ""
    requested: Mapping[str, int] | None = None
    unreachable: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    leading: bool = True
    moving: frozenset[str] = frozenset()
    unfit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A change of a stage that has been asked for and is not confirmed."""

    before: int
    after: int
    since_ns: int

    @property
    def is_up(self) -> bool:
        """Whether it adds replicas."""
        return self.after > self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """What is kept of a stage from tick to tick.

    Parameters
    ----------
    known
        Replicas that were asked for at the target at the tick before; None when they were not looked at.
    wanted, reason
        What the policy decided last; None when it has not since windows began.
    lately
        (instant, count) of what it decided within the stage's `Rules.calm_ns`.
    asked
        The change that is not confirmed.
    tried
        A change that failed or ran out of time: it may still take place.
    failures, retry_ns
        How often asking has failed in a row, and when the next attempt is.
    held_ns
        Until when somebody else's count stays; 0 when there is none.
    said
        Dry run: the count that was said last.
    """

    known: int | None = None
    wanted: int | None = None
    reason: Reason | None = None
    lately: tuple[tuple[int, int], ...] = ()
    asked: Asked | None = None
    tried: Asked | None = None
    failures: int = 0
    retry_ns: int = 0
    held_ns: int = 0
    said: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is kept from tick to tick.

    Parameters
    ----------
    stages
        By stage.
    note
        The policy's.
    ticked_ns
        The tick before; None at the first.
    decided_ns
        When the policy was called last.
    source, observed_ns
        Of the observation that the policy was given last.
    settled_ns
        Before this, nothing goes down.
    leading
        Whether the tick before might change anything.
    conditions
        What holds back and has been said.
    adopted_ns
        When the plan in force came into force; None for the one that it began with.
    """

    stages: Mapping[str, StageState]
    note: Any = None
    ticked_ns: int | None = None
    decided_ns: int | None = None
    source: str = ""
    observed_ns: int | None = None
    settled_ns: int = 0
    leading: bool = False
    conditions: frozenset[str] = frozenset()
    adopted_ns: int | None = None

    def adopting(self, rules: Rules, now_ns: int) -> State:
        """Return the state once another plan of the same stages is in force, with its rules.

        What a policy has noted and decided, and what was asked for, was about the plan before. Nothing goes down
        until windows have filled.
        """
        return replace(
            self,
            stages={name: StageState() for name in self.stages},
            note=None,
            decided_ns=None,
            settled_ns=max(self.settled_ns, now_ns + rules.settle_ns),
            adopted_ns=now_ns,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A stage that is to have another number of replicas."""

    stage: str
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Something that people want to know of, once.

    Parameters
    ----------
    event
        ``scale``, ``would_scale``, ``confirmed``, ``unconfirmed``, ``failed``, ``landed``, ``operator``,
        ``reconciled``, ``limited``, or a condition that begins or ends: ``lost``, ``unreachable``, ``standby``,
        ``unfit``, ``jumped``, ``restarted`` and their ends. Of plans: ``plan_changed``, ``drifted``, ``replanned``,
        ``replan_change``, ``replan_failed``, ``moving``, ``moved``, ``move_failed``.
    stage
        Empty for all.
    before, after
        Replicas; None where it is not about a change.
    reason
        The policy's, or the rule that stood above it.
    message
        In words.
    figures
        Further numbers, by name with its unit.
    """

    event: str
    stage: str = ""
    before: int | None = None
    after: int | None = None
    reason: Reason | None = None
    message: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a tick comes to: what to ask for, what to say, and what to keep."""

    changes: tuple[Change, ...]
    records: tuple[Record, ...]
    state: State
