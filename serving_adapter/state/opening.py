"""From the text that names a store to the store."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from inferline.errors import Fault, InputError
from serving_adapter.state.memory import MemoryState
from serving_adapter.state.records import State
from serving_adapter.state.sqlite import SqliteState

__all__ = ["open_state"]

_ACCEPTED = (
    "memory://, sqlite:///FILE (sqlite:////FILE for an absolute path) or redis://[[USER]:PASSWORD@]HOST[:PORT]"
)
_REDIS_PORT = 6379


def open_state(url: str) -> State:
    """Return the store that a URL names.

    Parameters
    ----------
    url
        ``memory://`` keeps everything in this process; ``sqlite:///FILE`` in a file of this process alone;
        ``redis://HOST:PORT`` (``rediss://`` over TLS) where Clipper's own processes find it. Redis is not
        connected to before it is needed.

    Raises
    ------
    InputError
        When it names no store, when the file is no state of InferLine, or when the client of Redis is not installed.
    OutsideError
        When the file cannot be opened, or another process has it open.

    Examples
    --------
    >>> open_state("memory://")  # doctest: +ELLIPSIS
    <serving_adapter.state.memory.MemoryState object at ...>
    >>> open_state("redis://h:6379/2")
    Traceback (most recent call last):
    ...
    inferline.errors.InputError: redis://h:6379/2: Clipper's schema fixes the database numbers: leave '/2' out
    """
    if url == "memory://":
        return MemoryState()
    if url.startswith("sqlite:///") and url != "sqlite:///":
        return SqliteState(Path(url.removeprefix("sqlite:///")))
    if url.startswith(("redis://", "rediss://")):
        return _redis(url)
    raise InputError(Fault(_shown(url), "", f"names no state; accepted are {_ACCEPTED}"))


def _redis(url: str) -> State:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(Fault(_shown(url), "", f"{error}; accepted is {_ACCEPTED}")) from error
    if not host or parts.query or parts.fragment:
        raise InputError(Fault(_shown(url), "", f"is no address of a Redis; accepted is {_ACCEPTED}"))
    if parts.path not in {"", "/"}:
        message = f"Clipper's schema fixes the database numbers: leave {parts.path!r} out"
        raise InputError(Fault(_shown(url), "", message))
    try:
        from serving_adapter.state.redis import RedisState, Server  # noqa: PLC0415 - optional
    except ImportError as error:
        raise InputError(f"{_shown(url)} needs redis: pip install 'inferline[serve]'") from error
    server = Server(
        host=host,
        port=port or _REDIS_PORT,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme == "rediss",
    )
    return RedisState(server)


def _shown(url: str) -> str:
    """Return the URL without its password, which has no place in messages."""
    return re.sub(r"//.*@", "//***@", url)
