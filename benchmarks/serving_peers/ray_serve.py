"""Ray Serve: a deployment with ``@serve.batch``.

Tuned, after its guides to performance and to high throughput (docs.ray.io: serve/advanced-guides/performance,
kuberay/user-guides/serve-high-throughput; Ray 2.56 and later):

* ``RAY_SERVE_ENABLE_HA_PROXY=1``: HAProxy, written in C, takes queries and hands them to replicas directly, in the
  place of the proxy in Python: on two cores one replica answered 4,400 queries/s with it, and 240 without;
* ``RAY_SERVE_THROUGHPUT_OPTIMIZED=1``: the model's code runs in the replica's own event loop, logs are buffered and
  go to files only, and calls between replicas go by gRPC;
* no access log, and logs from warnings up;
* ``max_ongoing_requests=10,000``: its 5 would never let a batch of 64 come together;
* ``batch_wait_timeout_s=0``, and the model runs in the replica's event loop, as in the documentation's examples. Ray
  puts the next batch together while the last one is with the model; when the model runs in a thread, a batch is what
  comes within the waiting time and not what has come meanwhile. With 2 ms and a thread the affine model could not
  sustain 500 queries/s, with 10 ms it added 10 ms to a lonely query; like this it did better in both;
* the body is read with orjson (the standard library takes 0.2 ms for 784 numbers), and the reply is a `Response` with
  its bytes, not an object that is looked through for things to convert.

The defaults: all of this as it comes, 10 ms of waiting included, except where the batch size is set.

Usage statistics are off (``RAY_USAGE_STATS_ENABLED=0``), and there is no dashboard.
"""

from __future__ import annotations

import json
from functools import partial

from benchmarks.serving_peers.room import PROGRAMS, Room
from benchmarks.serving_peers.system import MAX_BATCH, PORT, Setup, System, json_body

__all__ = ["RAY_SERVE", "RAY_SERVE_DEFAULTS"]

_TUNED = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}

# Or they would lie in a place that is the same for everybody; a path of a socket is at most 107 characters long.
_FILES = {
    "CONFIG_FILE_LOC": "haproxy.cfg",
    "SOCKET_PATH": "admin.sock",
    "SERVER_STATE_BASE": "",
    "SERVER_STATE_FILE": "server-state",
    "METRICS_SOCKET_PATH": "metrics.sock",
}


def _start(room: Room, setup: Setup, *, tuned: bool) -> None:
    environment = {
        **setup.environment,
        **(_TUNED if tuned else {}),
        **{f"RAY_SERVE_HAPROXY_{name}": str(room.folder / "h" / file) for name, file in _FILES.items()},
        "RAY_USAGE_STATS_ENABLED": "0",
        "BENCHMARK_TUNED": str(int(tuned)),
    }
    program = [room.python, PROGRAMS / "ray_application.py", room.folder / "ray", str(PORT)]
    room.run(*program, environment=environment)
    room.until(lambda: "is ready at" in room.output(), "deployment")


def _answer(body: bytes) -> float:
    return float(json.loads(body)["output"])


RAY_SERVE = System(
    name="Ray Serve",
    python="ray",
    path="/",
    start=partial(_start, tuned=True),
    body=json_body,
    answer=_answer,
    settings=f"@serve.batch of {MAX_BATCH}, HAProxy, RAY_SERVE_THROUGHPUT_OPTIMIZED, no access log, no cap",
)

RAY_SERVE_DEFAULTS = System(
    name="Ray Serve, defaults",
    python="ray",
    path="/",
    start=partial(_start, tuned=False),
    body=json_body,
    answer=_answer,
    settings=f"@serve.batch of {MAX_BATCH}, all else as it comes",
)
