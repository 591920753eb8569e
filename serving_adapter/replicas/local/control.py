"""The control socket of a supervisor: a line of JSON in, a line out, and whatever else comes does no harm."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable

from inferline.errors import OutsideError
from serving_adapter.replicas.local.messages import REQUEST_BYTES, Reply, Request, decode, encode

__all__ = ["listen"]

PATIENCE_S = 10.0
"""For a whole line to come, and for the answer to be taken."""

_CONNECTIONS = 64
_LONGEST = 500

_log = logging.getLogger(__name__)


async def listen(path: str, answer: Callable[[Request], Reply]) -> asyncio.Server:
    """Answer on a Unix socket that only its owner may connect to; an older one is replaced.

    Parameters
    ----------
    path
        The socket; at most 107 bytes, which is what Linux has for it (unix(7)).
    answer
        Called in the event loop.

    Raises
    ------
    OutsideError
        When nothing can listen there.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        if os.path.lexists(path):
            os.unlink(path)
        listener.bind(path)
    except OSError as error:
        listener.close()
        raise OutsideError(f"cannot listen on {path}: {error.strerror or error}") from error
    finally:
        os.umask(mask)
    slots = asyncio.Semaphore(_CONNECTIONS)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S), slots:
                line = await _line(reader)
                if line != b"":  # who says nothing is told nothing
                    writer.write(encode(_answered(line, answer)) + b"\n")
                    await writer.drain()
        except (TimeoutError, OSError) as error:
            _log.info("event=conversation_ended reason=%s", error or "no whole line in time")
        finally:
            writer.close()

    return await asyncio.start_unix_server(converse, sock=listener, limit=REQUEST_BYTES)


async def _line(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next line; nothing when none comes, None when it is too long."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError:
        return None


def _answered(line: bytes | None, answer: Callable[[Request], Reply]) -> Reply:
    if line is None:
        return Reply(error=f"a request has at most {REQUEST_BYTES} bytes")
    try:
        request = decode(line, Request)
    except ValueError as error:
        return Reply(error=f"is no request: {str(error)[:_LONGEST]}")
    try:
        return answer(request)
    except Exception as error:  # the replicas go on, whatever is wrong with the request
        _log.exception("event=request_failed do=%s", request.do)
        return Reply(error=f"{request.do!r} failed: {type(error).__name__}: {error}")
