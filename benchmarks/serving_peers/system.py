"""What the benchmark knows of a system: how it is started, how it is asked, and how it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.serving_peers.room import Room

__all__ = ["MAX_BATCH", "PORT", "Setup", "System", "json_body"]

PORT = 8000
"""Where every system takes queries. It is alone in its network, so that the port is free."""

MAX_BATCH = 64
"""Maximum batch size of every system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is served.

    Parameters
    ----------
    model
        ``noop`` or ``affine``; see ``programs/model.py``.
    size
        Numbers (doubles) in one input.
    replicas
        Copies of the model; each takes one batch at a time.
    lonely
        Whether it is served to a single connection only, for a system that is set differently then.
    """

    model: str
    size: int
    replicas: int
    lonely: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """What the programs read of it."""
        return {
            "BENCHMARK_MODEL": self.model,
            "BENCHMARK_REPLICAS": str(self.replicas),
            "BENCHMARK_BATCH": str(MAX_BATCH),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A system.

    Parameters
    ----------
    name
        What tables call it.
    python
        Environment that it runs in: the name of a requirements file, or None for the interpreter of the benchmark.
    path
        Where queries are posted.
    start
        Starts it in a room; returns when every replica is up, or before: a query is tried until it is answered.
    body
        Makes the body of a query from the JSON array of its numbers, and their count.
    answer
        Reads the output from the body of a reply; raises ValueError or LookupError when there is none.
    settings
        What is set, in a line.
    bare
        Whether it serves no model and has no replicas.
    apart
        Whether it is set differently for a single connection, and is started anew for that.
    """

    name: str
    python: str | None
    path: str
    start: Callable[[Room, Setup], None]
    body: Callable[[bytes, int], bytes]
    answer: Callable[[bytes], float]
    settings: str
    bare: bool = False
    apart: bool = False


def json_body(numbers: bytes, size: int) -> bytes:  # noqa: ARG001 - not every system has to be told the size
    """Return ``{"input": [...]}``."""
    return b'{"input":%b}' % numbers
