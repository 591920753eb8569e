"""How Redis is reached, and how long it may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from inferline.errors import OutsideError

__all__ = ["TIMEOUT_S", "Server"]

TIMEOUT_S = 2.0
"""How long an operation may take, connecting included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A Redis.

    Parameters
    ----------
    host, port
        Where it listens.
    username, password
        What it is told, if anything.
    tls
        Whether to talk over TLS.
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def client(self, database: int, *, attempts: int) -> Redis:
        """Return a client of one of its databases; it connects when it is used, and again when that broke."""
        return Redis(
            host=self.host,
            port=self.port,
            db=database,
            username=self.username,
            password=self.password,
            ssl=self.tls,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), attempts - 1),
            protocol=2,
        )

    @asynccontextmanager
    async def asked(self) -> AsyncIterator[None]:
        """Bound what is asked inside in time, and raise OutsideError when it fails."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                yield
        except TimeoutError as error:
            raise OutsideError(f"Redis at {self}: no answer within {TIMEOUT_S:g} s") from error
        except (RedisError, OSError) as error:
            raise OutsideError(f"Redis at {self}: {error}") from error
