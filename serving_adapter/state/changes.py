"""Telling readers that something has changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

__all__ = ["Changes"]


class Changes:
    """Any number of readers; what happens while a reader is busy reaches it as one change."""

    def __init__(self) -> None:
        self._readers: set[asyncio.Event] = set()
        self._closed = False

    def tell(self) -> None:
        """Tell every reader that something may have changed."""
        for reader in self._readers:
            reader.set()

    def close(self) -> None:
        """End every reader."""
        self._closed = True
        self.tell()

    async def read(self) -> AsyncIterator[None]:
        """Yield at first, and then once for all that was told since the last yield."""
        told = asyncio.Event()
        told.set()
        self._readers.add(told)
        try:
            while await told.wait() and not self._closed:
                told.clear()
                yield
        finally:
            self._readers.discard(told)
