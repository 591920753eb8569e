"""BentoML: a service with a batchable API (adaptive batching).

Tuned, after its documentation (docs.bentoml.com: get-started/adaptive-batching, reference/bentoml/configurations) and
a profile of its process:

* no access log, no metrics, no monitoring, and no tracing: ``tracing.excluded_urls`` keeps a query out of it, and
  ``OTEL_SDK_DISABLED=true`` is OpenTelemetry's own switch;
* ``workers``: one process for each replica, ``threads=1``: a batch at a time;
* the content type of the reply is declared, or it is derived from the JSON schema of the output for every reply.
  Without tracing and with that, throughput doubled;
* ``max_latency_ms``: 60,000 as it comes. It is no waiting time: queries that are expected to take longer are refused;
* inputs are lists of numbers; NumPy arrays were no faster.

The defaults: all of this as it comes. There too uvicorn finds uvloop and httptools, which BentoML does not require.

Usage statistics are off (``BENTOML_DO_NOT_TRACK=True``).
"""

from __future__ import annotations

import json
from functools import partial

from benchmarks.serving_peers.room import PROGRAMS, Room
from benchmarks.serving_peers.system import MAX_BATCH, PORT, Setup, System

__all__ = ["BENTOML", "BENTOML_DEFAULTS"]


def _start(room: Room, setup: Setup, *, tuned: bool) -> None:
    environment = {
        **setup.environment,
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(room.folder / "home"),
        "BENCHMARK_TUNED": str(int(tuned)),
        **({"OTEL_SDK_DISABLED": "true"} if tuned else {}),
    }
    at = ["--host", "127.0.0.1", "--port", str(PORT)]
    serve = [room.python.parent / "bentoml", "serve", "bentoml_service:Model", *at, "--working-dir", PROGRAMS]
    room.run(*serve, environment=environment)
    room.until(lambda: room.output().count("Service Model initialized") == setup.replicas, "start")


def _body(numbers: bytes, size: int) -> bytes:  # noqa: ARG001 - the numbers show it
    return b'{"inputs":[%b]}' % numbers


def _answer(body: bytes) -> float:
    return float(json.loads(body)[0])


BENTOML = System(
    name="BentoML",
    python="bentoml",
    path="/predict",
    start=partial(_start, tuned=True),
    body=_body,
    answer=_answer,
    settings=f"batchable, max_batch_size {MAX_BATCH}, no access log, metrics, monitoring or tracing",
)

BENTOML_DEFAULTS = System(
    name="BentoML, defaults",
    python="bentoml",
    path="/predict",
    start=partial(_start, tuned=False),
    body=_body,
    answer=_answer,
    settings=f"batchable, max_batch_size {MAX_BATCH}, all else as it comes",
)
