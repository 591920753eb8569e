"""A bare ASGI application on uvicorn that sends each body back: what Python's fastest usual stack costs by itself.

uvloop, httptools, no access log, no server or date header: as ``inferline serve`` has it. There is no model, no
batching and one process.
"""

from __future__ import annotations

from benchmarks.serving_peers.room import Room
from benchmarks.serving_peers.system import PORT, Setup, System, json_body

__all__ = ["ECHO"]


def _start(room: Room, setup: Setup) -> None:
    fast = ["--loop", "uvloop", "--http", "httptools", "--ws", "none", "--lifespan", "off", "--log-level", "warning"]
    bare = ["--no-access-log", "--no-server-header", "--no-date-header"]
    at = ["--host", "127.0.0.1", "--port", str(PORT)]
    room.run(room.python, "-m", "uvicorn", "echo:app", *at, *fast, *bare, environment=setup.environment)


def _answer(body: bytes) -> float:
    # Not parsed as a whole: the generator shares the processor with the server.
    return float(body[body.index(b"[") + 1 : body.index(b",")])


ECHO = System(
    name="ASGI echo",
    python=None,
    path="/",
    start=_start,
    body=json_body,
    answer=_answer,
    settings="uvicorn with uvloop and httptools; no model",
    bare=True,
)
