"""Checks of replies against outputs that are known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

__all__ = ["ExpectedOutputs"]


class _Reply(msgspec.Struct):
    output: Any = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class ExpectedOutputs:
    """Checks that the reply to query i says ``"output": outputs[i modulo their count]``.

    Parameters
    ----------
    outputs
        JSON values, one for each input, in the same order.

    Examples
    --------
    >>> check = ExpectedOutputs(["cat", [1, 2]])
    >>> check(3, b'{"query_id": 7, "output": [1.0, 2.0], "default": false}'), check(0, b'{"output": "dog"}')
    (True, False)
    """

    outputs: Sequence[Any]

    def __call__(self, query: int, body: bytes) -> bool:
        """Whether the body of the reply says the output that belongs to the query."""
        try:
            output = msgspec.json.decode(body, type=_Reply).output
        except msgspec.MsgspecError:
            return False
        return bool(output == self.outputs[query % len(self.outputs)])
