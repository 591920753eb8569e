"""What an administration path answers, and what it wants changed first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from serving_adapter.frontend.request import RequestError

__all__ = ["AdminReply", "RefusedError", "Write", "text_reply"]


@dataclass(frozen=True, slots=True)
class Write:
    """One change of the stored state: the name of a method of `serving_adapter.state.State` and its arguments."""

    method: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class AdminReply:
    """What a path answers: a plain text or a JSON value, and what has to be written first."""

    body: Any
    plain: bool = False
    writes: tuple[Write, ...] = ()


class RefusedError(RequestError):
    """A request that is sound but cannot be done; the whole reply is its text."""

    def __init__(self, text: str) -> None:
        super().__init__("", text)


def text_reply(text: str, *writes: Write) -> AdminReply:
    """Return a plain text, after these changes."""
    return AdminReply(text, plain=True, writes=writes)
