"""Measuring all targets one after the other: what breaks is left, and the rest is measured all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from inferline.cli.profile_outcome import kept
from inferline.cli.profile_preparation import Prepared
from inferline.cli.profile_progress import Board
from inferline.errors import InputError, OutsideError
from profiler.measuring import measure
from profiler.replica import start_replica
from profiler.results import Limits, Measurement, Target
from serving_adapter.machine import placements

__all__ = ["Came", "measure_all"]


@dataclass(frozen=True, slots=True)
class Came:
    """What came of it: why some targets were not measured to the end, and whether somebody ended it."""

    failures: tuple[str, ...]
    interrupted: bool = False


def measure_all(limits: Limits, prepared: Prepared, board: Board) -> Came:
    """Measure every target; first start every model once, so that a wrong entry shows before minutes are spent.

    Parameters
    ----------
    limits
        When enough is measured.
    prepared
        What to measure.
    board
        Shown all that happens.

    Raises
    ------
    InputError
        When an entry is wrong; what was measured before is written.
    """
    failures = list(prepared.failures)
    board.expect(prepared.targets)

    def failed(target: Target, error: OutsideError) -> None:
        measured = prepared.record.measured.get((target.entry.name, target.hardware.name), {})
        failures.append(f"{error} (rows measured before that: {len(measured)})")
        board.give_up(target, str(error))

    try:
        left = [target for target in prepared.targets if _starts(target, limits, prepared, board, failed)]
        for place, target in enumerate(left, start=1):
            name = f"{target.entry.name} on {target.hardware.name}"
            board.tell(f"measuring {name} ({place} of {len(left)})")
            _measure(target, limits, prepared, board, failed)
    except KeyboardInterrupt:
        return Came(tuple(failures), interrupted=True)
    except InputError:
        if prepared.record.rows:
            board.say(kept(prepared.record))
        raise
    return Came(tuple(failures))


def _starts(
    target: Target,
    limits: Limits,
    prepared: Prepared,
    board: Board,
    failed: Callable[[Target, OutsideError], None],
) -> bool:
    """Whether a model starts and answers, tried once on its first hardware if it is not the only one to measure."""
    entry, key = target.entry, (target.entry.name, target.hardware.name)
    first = next(each for each in prepared.targets if each.entry.name == entry.name)
    only = all(each.entry.name == entry.name for each in prepared.targets)
    by_hand = entry.kind == "container" and "command" not in entry.options
    if only or by_hand or first is not target or entry.name in prepared.started:
        return True
    board.tell(f"trying whether {entry.name} starts")
    placement = placements(prepared.machine, target.hardware)[0]
    try:
        start_replica(entry, placement, limits, prepared.frames[key][:1], board.say).close()
    except OutsideError as error:
        failed(target, error)
        return False
    return True


def _measure(
    target: Target,
    limits: Limits,
    prepared: Prepared,
    board: Board,
    failed: Callable[[Target, OutsideError], None],
) -> None:
    key = (target.entry.name, target.hardware.name)
    record = prepared.record

    def observe(measurement: Measurement) -> None:
        record.observe(measurement)
        board.observe(measurement)

    done = prepared.done.get(key, frozenset())
    try:
        measure(target, prepared.frames[key], prepared.machine, limits, observe, done, board.say)
    except OutsideError as error:
        failed(target, error)
    finally:
        record.close()
