"""Hearing of what others change in Redis.

Keyspace notifications are delivered at most once, and not at all for ``FLUSHDB``. So readers are also told when a
connection has been made (again), and after every `QUIET_S` without any.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError, ResponseError

from inferline.errors import OutsideError
from serving_adapter.state.changes import Changes
from serving_adapter.state.records import Snapshot
from serving_adapter.state.redis import schema
from serving_adapter.state.redis.connection import TIMEOUT_S, Server

__all__ = ["LONGEST_PAUSE_S", "POLL_S", "QUIET_S", "listen"]

QUIET_S = 10.0
"""How long no notification may come before the connection is tried."""

POLL_S = 1.0
"""How often Redis is read where it does not let notifications be switched on."""

LONGEST_PAUSE_S = 2.0
"""Longest pause between two attempts to listen again; the first is `_FIRST_PAUSE_S`, each twice the one before."""

_FIRST_PAUSE_S = 0.1
_NOTIFICATIONS = "AKE"
_MODEL_CHANNEL = f"__keyspace@{schema.MODELS}__:".encode()
_PATTERNS = (
    f"__keyspace@{schema.MODELS}__:*",
    f"__keyspace@{schema.REPLICAS}__:*",
    f"__keyspace@{schema.APPLICATIONS}__:*",
    f"__keyspace@{schema.CURRENT}__:{schema.CURRENT_PREFIX}*",
    f"__keyspace@{schema.LINKS}__:*",
    f"__keyspace@{schema.PIPELINES}__:*",
)
_DELETE_MARKED = f"""
if redis.call('HEXISTS', KEYS[1], '{schema.VALID}') == 0 then return redis.call('DEL', KEYS[1]) end
return 0
"""
"""One step for Redis, because the version may be registered anew at any time."""

_log = logging.getLogger(__name__)


async def listen(server: Server, changes: Changes, snapshot: Callable[[], Awaitable[Snapshot]]) -> None:
    """Tell the readers of changes until cancelled; listen anew, with growing pauses, when the connection is lost.

    Parameters
    ----------
    server
        Where to listen.
    changes
        Whom to tell.
    snapshot
        Reads all that is kept; called only where Redis does not notify.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            async for _ in _heard(server, snapshot):
                pause_s = _FIRST_PAUSE_S
                changes.tell()
        except (RedisError, OSError, OutsideError) as error:
            level = logging.WARNING if pause_s == _FIRST_PAUSE_S else logging.DEBUG
            _log.log(level, "event=redis_lost address=%s error=%r", server, str(error))
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


async def _heard(server: Server, snapshot: Callable[[], Awaitable[Snapshot]]) -> AsyncIterator[None]:
    """Yield for each sign of a change, the first being that this listens; raise when the connection is lost.

    There is one attempt only: a subscription that came back by itself would hide that something went unseen.
    """
    async with server.client(schema.MODELS, attempts=1) as client:
        if not await _notifies(client, server):
            async for _ in _polled(snapshot):
                yield
        async with client.pubsub() as pubsub:
            await pubsub.psubscribe(*_PATTERNS)
            _log.info("event=redis_listening address=%s", server)
            while True:
                message = await _next(pubsub)
                if message["data"] == b"hdel" and message["channel"].startswith(_MODEL_CHANNEL):
                    await client.eval(_DELETE_MARKED, 1, message["channel"].removeprefix(_MODEL_CHANNEL))
                yield  # for the answers to psubscribe too: what happened before them was not notified


async def _notifies(client: Redis, server: Server) -> bool:
    try:
        await client.config_set("notify-keyspace-events", _NOTIFICATIONS)
    except ResponseError as error:
        _log.warning(
            "event=redis_polled address=%s every_s=%g reason=%r advice=%r",
            server,
            POLL_S,
            str(error),
            f"allow CONFIG SET notify-keyspace-events {_NOTIFICATIONS}",
        )
        return False
    return True


async def _polled(snapshot: Callable[[], Awaitable[Snapshot]]) -> AsyncIterator[None]:
    last = None
    while True:
        now = await snapshot()
        if now != last:
            last = now
            yield
        await asyncio.sleep(POLL_S)


async def _next(pubsub: PubSub) -> dict[str, Any]:
    """Return the next message; a ping's answer is one, when nothing else comes."""
    message: dict[str, Any] | None = await pubsub.get_message(timeout=QUIET_S)
    if message is None:
        await pubsub.ping()
        message = await pubsub.get_message(timeout=TIMEOUT_S)
    if message is None:
        raise OutsideError(f"no answer within {TIMEOUT_S:g} s")
    return message
