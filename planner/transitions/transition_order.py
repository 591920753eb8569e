"""The order of a transition: which replicas come and go, and when a stage changes its hardware.

Without limits it is simple: everything that adds capacity, then the switches, then everything that takes capacity
away. A hardware limit can forbid that. Then room is made by the first of these that makes any: switch a stage whose
replicas on its new hardware can take over, and give its old units back; add as many as there is room for; take away
what the new configuration does without; and at last take away from a stage that is on its way to other hardware,
first down to one replica, then all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from inferline.domain import Configuration
from planner.problem import Problem

__all__ = ["ADD", "BATCH", "REMOVE", "SWITCH", "Move", "order_moves"]

ADD, BATCH, SWITCH, REMOVE = "add", "batch", "switch", "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One change of one stage on one hardware.

    Parameters
    ----------
    kind
        ``add`` or ``remove`` replicas, ``switch`` the stage to that hardware, or change its maximum ``batch`` size.
    stage, hardware
        What changes, and the hardware of the replicas that it is about.
    replicas
        Replicas of the stage on that hardware afterwards; a ``batch`` leaves them as they are, and says 0.
    forced
        Whether the move takes serving replicas away before all that is to be added is there.
    """

    kind: str
    stage: str
    hardware: str
    replicas: int
    forced: bool = False


def order_moves(
    problem: Problem, old: Configuration, new: Configuration, hardware: Sequence[str]
) -> tuple[tuple[Move, ...], tuple[str, ...]]:
    """Order what turns one configuration into another.

    Replicas are added one hardware at a time; on each hardware from the last stage to the first, because a stage that
    gets faster hands its queue on to the stages behind it. They are taken away from the first stage to the last.

    Parameters
    ----------
    problem
        Gives the pipeline, its limits and what a replica can do.
    old, new
        Where it begins and ends; ``new`` is within the limits.
    hardware
        All hardware of the pipeline, in the order in which replicas are added and taken away.

    Returns
    -------
    tuple
        The moves, and the hardware whose limit did not allow to add everything first. The units in use never pass a
        limit, except that those of ``old`` may.
    """
    ordering = _Ordering(problem, old, new, hardware)
    while blocked := ordering.add_whole():
        ordering.make_room(blocked)
    ordering.end()
    limited = [unit.name for unit in problem.pipeline.hardware if unit.name in ordering.limited]
    return tuple(ordering.moves), tuple(limited)


class _Ordering:
    """Where the transition stands while it is being ordered."""

    def __init__(self, problem: Problem, old: Configuration, new: Configuration, hardware: Sequence[str]) -> None:
        self.problem, self.old, self.new = problem, old, new
        self.moves: list[Move] = []
        self.limited: set[str] = set()
        self._names = [stage.name for stage in problem.pipeline.stages]
        self._hardware = hardware
        self._serving = {name: old[name].hardware for name in self._names}
        self._units = {(name, old[name].hardware): old[name].replicas for name in self._names}

    def add_whole(self) -> list[str]:
        """Add everything that there is room for at one go; return the hardware that is short of room."""
        blocked: list[str] = []
        for name, hardware, missing in self._missing():
            if missing <= self._room(hardware):
                self._add(name, missing)
            elif hardware not in blocked:
                blocked.append(hardware)
        self.limited.update(blocked)
        return blocked

    def make_room(self, blocked: list[str]) -> None:
        """Do the least harmful thing that brings the blocked hardware nearer to its end."""
        if self._switch(blocked) or self._give_back(blocked) or self._add_partly(blocked):
            return
        for tier in range(3):
            for hardware in blocked:
                choices = [
                    name for name in self._names if self._count(name, hardware) > self._floor(name, hardware, tier)
                ]
                if choices:
                    self._take_away(hardware, choices, tier)
                    return

    def end(self) -> None:
        """Switch what has not been switched, last stage first, and take away what is left over."""
        for name in reversed(self._names):
            if self._serving[name] != self.new[name].hardware:
                self._switch_stage(name)
        for hardware in self._hardware:
            for name in self._names:
                target = self.new[name].replicas if self.new[name].hardware == hardware else 0
                if self._count(name, hardware) > target:
                    self._set(REMOVE, name, hardware, target)

    def _count(self, name: str, hardware: str) -> int:
        return self._units.get((name, hardware), 0)

    def _room(self, hardware: str) -> float:
        limit = self.problem.pipeline.unit(hardware).limit
        return float("inf") if limit is None else limit - sum(self._count(name, hardware) for name in self._names)

    def _missing(self) -> Iterator[tuple[str, str, int]]:
        """Yield the stage, hardware and number of replicas still to add; stages that stand still first."""
        for hardware in self._hardware:
            waiting = [name for name in reversed(self._names) if self.new[name].hardware == hardware]
            for name in sorted(waiting, key=lambda name: self._count(name, self._serving[name]) > 0):
                if self._count(name, hardware) < self.new[name].replicas:
                    yield name, hardware, self.new[name].replicas - self._count(name, hardware)

    def _set(self, kind: str, name: str, hardware: str, replicas: int, *, forced: bool = False) -> None:
        self._units[name, hardware] = replicas
        self.moves.append(Move(kind=kind, stage=name, hardware=hardware, replicas=replicas, forced=forced))

    def _add(self, name: str, more: int) -> None:
        hardware = self.new[name].hardware
        stands_still = self._count(name, self._serving[name]) == 0
        self._set(ADD, name, hardware, self._count(name, hardware) + more)
        if stands_still and self._serving[name] != hardware:
            self._switch_stage(name)

    def _switch_stage(self, name: str) -> None:
        hardware = self.new[name].hardware
        self._serving[name] = hardware
        self._set(SWITCH, name, hardware, self._count(name, hardware))

    def _switch(self, blocked: list[str]) -> bool:
        """Switch stages away from blocked hardware if all their new replicas, or enough, are there."""
        able = [
            name
            for name in reversed(self._names)
            if self._serving[name] in blocked
            and self._serving[name] != self.new[name].hardware
            and (
                self._count(name, self.new[name].hardware) == self.new[name].replicas
                or self._throughput_qps(name, self.new) >= self._throughput_qps(name, self.old)
            )
        ]
        for name in able:
            self._switch_stage(name)
        return bool(able)

    def _throughput_qps(self, name: str, configuration: Configuration) -> float:
        """Return what the replicas of a stage that are there on one of its two hardwares can do."""
        chosen = configuration[name]
        one = self.problem.option(name, chosen).throughput_qps(chosen.max_batch)
        return one * self._count(name, chosen.hardware)

    def _give_back(self, blocked: list[str]) -> bool:
        """Give back units of blocked hardware that no longer serve."""
        idle = [
            (name, hardware)
            for hardware in blocked
            for name in self._names
            if self._count(name, hardware) and hardware not in (self._serving[name], self.new[name].hardware)
        ]
        for name, hardware in idle:
            self._set(REMOVE, name, hardware, 0)
        return bool(idle)

    def _add_partly(self, blocked: list[str]) -> bool:
        for name, hardware, _ in self._missing():
            room = self._room(hardware)
            if hardware in blocked and room >= 1:
                self._add(name, int(room))
                return True
        return False

    def _floor(self, name: str, hardware: str, tier: int) -> int:
        """Return how many replicas a stage keeps on blocked hardware, the worse the tier the fewer."""
        if self.new[name].hardware == hardware:
            return self.new[name].replicas
        return (self._count(name, hardware), 1, 0)[tier]

    def _take_away(self, hardware: str, choices: list[str], tier: int) -> None:
        """Take away what the first stage that waits for the hardware needs, where the largest share remains."""
        needed = next(missing for _, on, missing in self._missing() if on == hardware) - int(self._room(hardware))
        left = {
            name: max(self._floor(name, hardware, tier), self._count(name, hardware) - needed) for name in choices
        }
        share = {name: replicas / self.old[name].replicas for name, replicas in left.items()}
        chosen = max(choices, key=lambda name: (share[name], -self.problem.visits[name]))
        self._set(REMOVE, chosen, hardware, left[chosen], forced=True)
