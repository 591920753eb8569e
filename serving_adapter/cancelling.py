"""Ending a task of an event loop."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["end"]

_AGAIN_S = 0.1


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended; what it raises is its own affair.

    Once may not be enough: before Python 3.12, `asyncio.wait_for` forgets a cancellation that comes together with
    its result (bpo-37658), and redis-py calls it with every command.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_AGAIN_S)
