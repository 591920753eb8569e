"""A lease as a key in Redis, for processes of several machines."""

from __future__ import annotations

import logging
from time import monotonic_ns
from typing import Any
from uuid import uuid4

from inferline.errors import InputError, OutsideError
from inferline.units import NANO

__all__ = ["RedisLease"]

_TIMEOUT_S = 2.0
_MARGIN = 0.2
"""Share of the lease's time that its holder does not count on: clocks of two machines run at different rates."""

_RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
"""Each is one step for Redis: between a GET and a DEL the key may become another's."""

_log = logging.getLogger(__name__)


class RedisLease:
    """A key that its holder renews, and that ends by itself when the holder does (``SET NX PX``).

    Its holder counts from the instant before it asked, on its own monotonic clock, and with a margin: it has stopped
    before the key is another's. Each holder gets a number, greater than all before (a fencing token, Kleppmann, "How
    to do distributed locking", 2016); targets know none, so it is logged only.

    Parameters
    ----------
    url
        ``redis://[:PASSWORD@]HOST:PORT[/DATABASE]``.
    name
        Of what is held.
    ttl_s
        How long after its holder's end it is free.

    Raises
    ------
    InputError
        When redis is not installed, or the URL is none.
    """

    def __init__(self, url: str, name: str, ttl_s: float = 10.0) -> None:
        try:
            from redis import Redis, RedisError  # noqa: PLC0415 - optional
        except ModuleNotFoundError as error:
            raise InputError("a lease in Redis needs redis: pip install 'inferline[serve]'") from error
        try:
            self._client: Any = Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        except ValueError as error:
            raise InputError(f"--lease {url}: {error}; write it like redis://HOST:6379") from error
        self._failures = (RedisError, OSError)
        self._where = url.rpartition("@")[2]
        self._key = f"inferline:lease:{name}"
        self._ttl_s = ttl_s
        self._value = ""

    def hold(self) -> int | None:
        """Take it or renew it; return until when it is ours, monotonic nanoseconds. None: it is another's.

        Raises
        ------
        OutsideError
            When Redis cannot be asked.
        """
        asked_ns, ttl_ms = monotonic_ns(), round(self._ttl_s * 1000)
        try:
            if self._value and not self._client.eval(_RENEW, 1, self._key, self._value, ttl_ms):
                self._value = ""
            if not self._value and not self._take(ttl_ms):
                return None
        except self._failures as error:
            raise OutsideError(f"the lease at {self._where}: {error}") from error
        return asked_ns + round(self._ttl_s * (1 - _MARGIN) * NANO)

    def _take(self, ttl_ms: int) -> bool:
        if self._client.exists(self._key):
            return False
        number = self._client.incr(f"{self._key}:number")
        value = f"{number}:{uuid4().hex}"
        if not self._client.set(self._key, value, nx=True, px=ttl_ms):
            return False
        self._value = value
        _log.info("event=lease_taken key=%s number=%d", self._key, number)
        return True

    def release(self) -> None:
        """Give it back, if it is ours.

        Raises
        ------
        OutsideError
            When Redis cannot be asked; it ends by itself.
        """
        try:
            if self._value:
                self._client.eval(_RELEASE, 1, self._key, self._value)
            self._client.close()
        except self._failures as error:
            raise OutsideError(f"the lease at {self._where}: {error}") from error
        self._value = ""
