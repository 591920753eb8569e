"""Planning anew: when traffic has drifted, what a planner makes of it, and the way there; one thing at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from queue import SimpleQueue
from threading import Event
from time import monotonic_ns

from inferline.units import NANO, format_duration
from tuner.control import Record
from tuner.drift import Drift, DriftRules, DriftState, judge, tried
from tuner.observed import Observed, Sample
from tuner.outside import Outside
from tuner.plans import Moved, Proposal, Replanner
from tuner.protocols import ArrivalsSeen
from tuner.situation import Situation

__all__ = ["Replanning", "ReplanningState"]

_ADOPTION_NS = 30 * NANO
"""How long stages are left alone after a move, until it is noticed that another plan is in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplanningState:
    """How it stands, for whoever asks.

    Parameters
    ----------
    doing
        ``watching``, ``planning`` or ``moving``.
    saving_usd_per_hour
        Of the last plan against the one that was in force; negative when it costs more, None when there was none.
    failure
        The last; empty for none.
    """

    doing: str = "watching"
    saving_usd_per_hour: float | None = None
    failure: str = ""


class Replanning:
    """What a daemon does about drift.

    Parameters
    ----------
    replanner
        Who plans and moves.
    situation
        What is in force at the start.
    rules
        What counts as drift.
    applies
        Whether it moves over to what was planned, or only says it.
    dry_run
        Say only what would be moved to.
    """

    def __init__(
        self,
        replanner: Replanner,
        situation: Situation,
        rules: DriftRules,
        *,
        applies: bool = False,
        dry_run: bool = False,
    ) -> None:
        self._replanner = replanner
        self._rules = rules
        self._applies, self._dry_run = applies, dry_run
        # The replanner's own limits end both; one that hangs hangs alone.
        self._planning: Outside[Proposal] = Outside("planning anew", float("inf"), 1)
        self._moving: Outside[Moved] = Outside("moving to another plan", float("inf"), 1)
        longest_ns = round(situation.plan.envelope.window_s[-1] * NANO)
        keep_ns = max(rules.sustained_ns, rules.below_ns) + longest_ns + rules.gap_ns
        self._observed = Observed(situation.pipeline, keep_ns)
        self._drift = DriftState()
        self._looked: tuple[str, int] | None = None
        self._outdated = False
        self._proposal: Proposal | None = None
        self._held: frozenset[str] = frozenset()
        self._held_until_ns: int | None = None
        self._noticed = False
        self._told: SimpleQueue[str] = SimpleQueue()
        self._halt = Event()
        self.state = ReplanningState()

    @property
    def moving(self) -> frozenset[str]:
        """Stages that are being moved."""
        return self._held

    @property
    def is_moving(self) -> bool:
        """Whether a move is under way."""
        return self._moving.is_busy

    def adopted(self) -> None:
        """Hear that another plan has come into force: what was observed was compared with the one before."""
        self._observed.clear()
        self._drift = replace(self._drift, since_ns={}, begun_ns=self._drift.looked_ns)
        self._outdated = self._planning.is_busy
        self._replanner.cancel()
        self._noticed = True
        self._proposal = None
        if not self.is_moving:
            self._release()

    def tick(
        self,
        situation: Situation,
        seen: ArrivalsSeen | None,
        now_ns: int,
        *,
        requested: Mapping[str, int] | None = None,
        leading: bool,
        quiet: bool,
    ) -> tuple[Record, ...]:
        """Do what is due; return what is to be said.

        Parameters
        ----------
        situation
            What is in force.
        seen
            The queries, where they were seen lately.
        now_ns
            This process's monotonic clock.
        requested
            Replicas that are asked for, by stage; None where that is not known.
        leading
            Whether this daemon may change anything; one that may not does not plan either.
        quiet
            Whether nothing that this daemon has asked for is on its way to the target.
        """
        if not leading:
            self._halt.set()
            if self._proposal is not None:
                self._proposal = None
                self._release()
        records = [*self._hear_move(now_ns), *self._hear_plan(_asked(situation, requested), leading=leading)]
        if seen is not None and (seen.source, seen.now_ns) != self._looked:
            self._looked = (seen.source, seen.now_ns)
            records += self._look(situation, seen, leading=leading)
        if self._proposal is not None and not self.is_moving and leading and quiet:
            records += self._begin_move(self._proposal)
        if self._held_until_ns is not None and now_ns >= self._held_until_ns:
            self._release()
        moves = self.is_moving or self._proposal is not None
        doing = "moving" if moves else "planning" if self._planning.is_busy else "watching"
        self.state = replace(self.state, doing=doing)
        return tuple(records)

    def close(self, wait_s: float) -> tuple[Record, ...]:
        """End what is going on: a move stops before its next change, and is waited for; return what is to be said."""
        self._replanner.cancel()
        self._halt.set()
        records = tuple(self._hear_move(monotonic_ns(), wait_s))
        if self.is_moving:
            message = "it has not stopped in time; inferline status says what runs"
            return (*records, Record(event="move_failed", message=message))
        return records

    def _release(self) -> None:
        self._held, self._held_until_ns = frozenset(), None

    # Watching and planning

    def _look(self, situation: Situation, seen: ArrivalsSeen, *, leading: bool) -> Iterator[Record]:
        self._observed.take(seen)
        drift, self._drift = judge(situation.pipeline, situation.plan, self._rules, seen, self._drift)
        busy = self._planning.is_busy or self.is_moving or self._proposal is not None or self._held
        if drift is None or not leading or busy:
            return
        self._observed.take(seen, at_once=True)
        sample = self._observed.sample(drift.since_ns)
        if sample is None or sample.arrival_ns.size < self._rules.least_queries:
            return
        self._drift = tried(self._drift, seen.now_ns)
        if self._planning.ask(lambda: self._replanner.plan(situation, sample)):
            yield _drifted(drift, sample, seen.now_ns)

    def _hear_plan(self, asked: Mapping[str, float], *, leading: bool) -> Iterator[Record]:
        answer = self._planning.answer()
        if answer is None:
            return
        if self._outdated:  # of a plan that is no longer in force
            self._outdated = False
            return
        if answer.value is None:
            self.state = replace(self.state, failure=answer.failure)
            yield Record(event="replan_failed", message=answer.failure)
            return
        proposal = answer.value
        self.state = replace(self.state, saving_usd_per_hour=proposal.figures.get("saving_usd_per_hour"))
        yield Record(event="replanned", message=proposal.message, figures={**asked, **proposal.figures})
        for stage, words in proposal.changes.items():
            yield Record(event="replan_change", stage=stage, message=words)
        if not self._applies or not proposal.worth:
            return
        if self._dry_run:
            yield Record(event="would_move", message="a dry run moves nothing")
        elif leading:
            self._proposal, self._held = proposal, proposal.stages

    # Moving

    def _begin_move(self, proposal: Proposal) -> Iterator[Record]:
        self._halt = Event()
        halt = self._halt
        if self._moving.ask(lambda: self._replanner.move(proposal, self._told.put, halt)):
            self._proposal, self._noticed = None, False
            stages = ", ".join(sorted(proposal.stages)) or "no replicas, only what they are planned for"
            yield Record(event="moving", message=f"to the plan that was made: {stages}")

    def _hear_move(self, now_ns: int, wait_s: float = 0.0) -> Iterator[Record]:
        answer = self._moving.answer(wait_s)
        while not self._told.empty():
            yield Record(event="moving", message=self._told.get())
        if answer is None:
            return
        moved = answer.value or Moved(failure=answer.failure)
        # Until it is noticed that the other plan is in force, its stages are nothing that is known here.
        self._held_until_ns = now_ns + _ADOPTION_NS
        if self._noticed or moved.failure:
            self._release()
        if moved.failure:
            self.state = replace(self.state, failure=moved.failure)
        words = "; ".join(each for each in (moved.failure, moved.message) if each)
        yield Record(event="move_failed" if moved.failure else "moved", message=words)


def _asked(situation: Situation, requested: Mapping[str, int] | None) -> Mapping[str, float]:
    """Return what costs that is asked for now, as a figure."""
    if requested is None:
        return {}
    configuration, pipeline = situation.plan.configuration, situation.pipeline
    prices = {name: pipeline.unit(chosen.hardware).price_nano_usd_per_hour for name, chosen in configuration.items()}
    return {"asked_usd_per_hour": sum(count * prices[name] for name, count in requested.items()) / NANO}


def _drifted(drift: Drift, sample: Sample, now_ns: int) -> Record:
    lasted = format_duration(now_ns - drift.since_ns)
    message = f"for {lasted}; planning anew from {sample.arrival_ns.size:,} queries of "
    message += format_duration(sample.duration_ns)
    return Record(event="drifted", stage=drift.stage, reason=drift.reason, message=message)
