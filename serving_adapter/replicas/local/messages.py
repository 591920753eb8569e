"""What a supervisor says: when it begins; and over its control socket, where a line of JSON asks and one answers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec

from serving_adapter.replicas.protocol import CoreAddress, CoreOptions, Replica, ReplicaSet, SetKey

__all__ = ["LISTENS", "REPLY_BYTES", "REQUEST_BYTES", "TAKEN", "Reply", "Request", "decode", "encode"]

LISTENS = "listens"
TAKEN = "another supervisor looks after this deployment"
"""What it tells whoever has started it: one of these, or why else it cannot run."""

REQUEST_BYTES = 2**20
REPLY_BYTES = 2**26
"""The longest lines that are read; a reply has a few hundred bytes for each replica."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked.

    Parameters
    ----------
    do
        ``start_core`` with `options`, ``start`` with `wanted` and `core`, ``stop`` a `key` or all, or ``show``.
    """

    do: Literal["start_core", "start", "stop", "show"]
    options: CoreOptions | None = None
    wanted: ReplicaSet | None = None
    core: CoreAddress | None = None
    key: SetKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """How things are, after what was asked.

    Parameters
    ----------
    error
        Why it was refused; empty when it was not.
    again
        Whether the same may be accepted in a moment: something has still to end before.
    core
        Where the serving core listens, or will; None when none is wanted.
    core_failures
        How often in a row it has ended by itself.
    core_reason
        Why it did the last time.
    replicas
        All replicas.
    requested
        How many of each set are asked for.
    """

    error: str = ""
    again: bool = False
    core: CoreAddress | None = None
    core_failures: int = 0
    core_reason: str = ""
    replicas: tuple[Replica, ...] = ()
    requested: tuple[tuple[SetKey, int], ...] = ()


def encode(value: object) -> bytes:
    """Return a value as a line of JSON, without its end."""
    return msgspec.json.encode(value, enc_hook=os.fspath)


def decode(line: bytes, kind: type[_Value]) -> _Value:
    """Read a line of JSON.

    Raises
    ------
    ValueError
        When it is no such value; says where it is not.
    """
    try:
        return msgspec.json.decode(line, type=kind, dec_hook=lambda wanted, value: wanted(value))
    except (msgspec.MsgspecError, TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
