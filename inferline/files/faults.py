"""Collecting the faults of one document, so that all of them are reported in one go."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

from inferline.errors import Fault, InputError
from inferline.files.documents.key_path import ABSENT, KeyPath, child, key_path

__all__ = ["MOST_FAULTS", "DocumentFaults", "attempt", "cut"]

MOST_FAULTS = 1000
"""More faults of one file than this are counted, not listed."""

Result = TypeVar("Result")


class DocumentFaults:
    """Faults of one document of mappings and lists, in the order of that document.

    Parameters
    ----------
    file
        The file, as the user named it.
    document
        The raw document; gives the order.
    """

    def __init__(self, file: str, document: object) -> None:
        self.file = file
        self._document = document
        self._found: dict[tuple[KeyPath, str], None] = {}
        self._place: dict[int, Mapping[str, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, path: KeyPath, message: str) -> None:
        """Note that something is wrong at a key path; the same sentence at the same path counts once."""
        self._found.setdefault((path, message))

    def within(self, *prefix: str | int, levels: float = math.inf) -> bool:
        """Whether a fault lies at this key path or at most so many levels below it."""
        depth = len(prefix)
        return any(path[:depth] == prefix and len(path) <= depth + levels for path, _ in self._found)

    def in_order(self) -> tuple[Fault, ...]:
        """Return the faults in the order of the document; a missing key stands where its mapping begins."""
        ranked = sorted(self._found, key=lambda found: self._rank(found[0]))
        return cut([Fault(self.file, key_path(path), message) for path, message in ranked])

    def raise_any(self) -> None:
        """Raise all faults as one `InputError`, if there are any."""
        if self._found:
            raise InputError(*self.in_order())

    def _rank(self, path: KeyPath) -> tuple[int, ...]:
        """Return the position of every part of the path among its neighbours, as far as the document has it."""
        rank: list[int] = []
        node = self._document
        for part in path:
            owner, node = node, child(node, part)
            if node is ABSENT:
                break
            rank.append(self._places(owner)[str(part)] if isinstance(owner, Mapping) else int(part))
        return tuple(rank)

    def _places(self, mapping: Mapping[str, object]) -> Mapping[str, int]:
        """Return the position of every key; kept, because a document may have very many faults in one mapping."""
        if id(mapping) not in self._place:
            self._place[id(mapping)] = {key: place for place, key in enumerate(mapping)}
        return self._place[id(mapping)]


def cut(faults: list[Fault]) -> tuple[Fault, ...]:
    """Return the faults of one file, the last one saying how many are left out when there are very many."""
    if len(faults) <= MOST_FAULTS:
        return tuple(faults)
    rest = len(faults) - MOST_FAULTS
    return (*faults[:MOST_FAULTS], Fault(faults[0].file, "", f"and {rest} more faults like these"))


def attempt(faults: list[Fault], read: Callable[[], Result]) -> Result | None:
    """Return what ``read`` returns, or None after putting its faults with the others."""
    try:
        return read()
    except InputError as error:
        faults.extend(error.faults)
        return None
