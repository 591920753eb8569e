"""What is to be done so that a set has as many replicas as it should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from serving_adapter.replicas.docker.seen import Seen
from serving_adapter.replicas.protocol import Phase

__all__ = ["Changes", "Standing", "changes"]


class Standing(NamedTuple):
    """A container of a replica, and the phase that it is in."""

    seen: Seen
    phase: Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to be done to a set.

    Parameters
    ----------
    create
        How many replicas are missing.
    begin
        Containers that are kept, and that nobody starts again: one that was never started, or was ended by hand.
    end
        Containers that are too many, in the order in which they are ended.
    """

    create: int
    begin: tuple[Seen, ...]
    end: tuple[Seen, ...]


def changes(there: Sequence[Standing], wanted: int) -> Changes:
    """Decide what is to be done so that so many replicas are there.

    Parameters
    ----------
    there
        The containers of the set, those that have been told to end included.
    wanted
        How many are to be there.
    """
    alive = [each for each in there if each.phase != "stopping"]
    newest = sorted(alive, key=lambda each: each.seen.created_s, reverse=True)
    first_to_go = sorted(newest, key=lambda each: each.phase == "ready")
    surplus = max(0, len(alive) - wanted)
    kept = first_to_go[surplus:]
    return Changes(
        create=max(0, wanted - len(alive)),
        begin=tuple(each.seen for each in kept if not each.seen.runs and each.seen.status != "restarting"),
        end=tuple(each.seen for each in first_to_go[:surplus]),
    )
