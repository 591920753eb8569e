"""Queries that all differ, and a check that a reply belongs to its query."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from serving_adapter.load import made_up_inputs

__all__ = ["Queries", "Sampled"]

_TAILS = 64
_EVERY = 16


@dataclass(frozen=True, slots=True)
class Sampled:
    """Checks the replies to every 16th query: the output is its first number.

    Parameters
    ----------
    answer
        Reads the output; raises ValueError or LookupError when there is none.
    first
        First number of query 0; that of query i is ``first + i modulo count``.
    count
        How many different queries there are.
    """

    answer: Callable[[bytes], float]
    first: int
    count: int

    def __call__(self, query: int, body: bytes) -> bool:
        """Whether the body of a reply belongs to the query."""
        if query % _EVERY:
            return True
        try:
            return self.answer(body) == self.first + query % self.count
        except (ValueError, LookupError, TypeError):
            return False


class Queries:
    """Makes queries; no two are alike as long as this object lives.

    Parameters
    ----------
    size
        Numbers of one input, at least 2: the first one is new each time, the others come from 64 random drawings.
    body
        Makes a body from the JSON array of the numbers, and their count.
    answer
        Reads the output from a reply.
    """

    def __init__(self, size: int, body: Callable[[bytes, int], bytes], answer: Callable[[bytes], float]) -> None:
        tails = made_up_inputs("doubles", [size - 1], _TAILS, seed=0)
        self._tails = [msgspec.json.encode(tail)[1:] for tail in tails]
        self._next = 1
        self._size = size
        self._body = body
        self._answer = answer

    def some(self, count: int) -> tuple[list[bytes], Sampled]:
        """Return so many bodies, and the check of the replies to them."""
        first, self._next = self._next, self._next + count
        numbers = zip(range(first, self._next), itertools.cycle(self._tails), strict=False)
        bodies = [self._body(b"[%d.0,%b" % (number, tail), self._size) for number, tail in numbers]
        return bodies, Sampled(self._answer, first, count)
