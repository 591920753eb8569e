"""MLServer: a custom runtime behind its V2 REST interface, with adaptive batching.

Tuned, after its documentation (docs.seldon.ai/mlserver: user-guide/adaptive-batching, user-guide/parallel-inference,
api-reference/settings) and what users have measured (github.com/SeldonIO/MLServer/issues/854):

* no metrics, no gzip, no debug mode and with it no access log;
* ``parallel_workers``: one for each replica, so that a batch does not stop the reading of queries; none for one
  replica of the model that takes no time, and for one connection: that saves a hop between processes;
* ``max_batch_time`` is waited for whenever a batch is not full, even when the model is free, and batches are formed
  while others are with the model, so that the waiting time is what makes them large. One setting cannot suit both
  ends: for one connection it is 0.1 ms, the least that is not off; else 0.5 ms for the model that takes no time, and
  for the other one 10 ms, with four replicas 5 ms (with 1 ms it could not sustain 500 queries/s);
* inputs travel as one text each with the JSON of the numbers (datatype ``BYTES``), which the runtime reads with
  orjson: 784 numbers as ``FP64`` are checked one by one on their way and were 40 % slower.

The defaults: all of this as it comes, with the same runtime; batching has no default and is set as above.

gRPC cannot be switched off; nobody asks it.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from benchmarks.serving_peers.room import Room
from benchmarks.serving_peers.system import MAX_BATCH, PORT, Setup, System

__all__ = ["MLSERVER", "MLSERVER_DEFAULTS"]

LEAST_BATCH_TIME_S = 0.0001
BATCH_TIME_S = {("noop", 1): 0.0005, ("noop", 4): 0.0005, ("affine", 1): 0.01, ("affine", 4): 0.005}


def _start(room: Room, setup: Setup, *, tuned: bool) -> None:
    settings: dict[str, Any] = {"host": "127.0.0.1", "http_port": PORT, "grpc_port": PORT + 1}
    settings |= {"metrics_port": PORT + 2, "parallel_workers": setup.replicas}
    if tuned:
        settings |= {"debug": False, "metrics_endpoint": None, "gzip_enabled": False}
        if setup.replicas == 1 and (setup.lonely or setup.model == "noop"):
            settings["parallel_workers"] = 0
    model = {
        "name": "model",
        "implementation": "mlserver_runtime.Model",
        "max_batch_size": MAX_BATCH,
        "max_batch_time": LEAST_BATCH_TIME_S if setup.lonely else BATCH_TIME_S[setup.model, setup.replicas],
    }
    (room.folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    (room.folder / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    room.run(room.python.parent / "mlserver", "start", room.folder, environment=setup.environment)
    room.until(lambda: "Loaded model 'model' successfully" in room.output(), "loading the model")


def _body(numbers: bytes, size: int) -> bytes:  # noqa: ARG001 - the shape is that of the text
    return b'{"inputs":[{"name":"input","shape":[1,1],"datatype":"BYTES","data":["%b"]}]}' % numbers


def _answer(body: bytes) -> float:
    return float(json.loads(body)["outputs"][0]["data"][0])


MLSERVER = System(
    name="MLServer",
    python="mlserver",
    path="/v2/models/model/infer",
    start=partial(_start, tuned=True),
    body=_body,
    answer=_answer,
    settings=f"max_batch_size {MAX_BATCH}, no metrics, gzip or debug mode, waiting and workers by load",
    apart=True,
)

MLSERVER_DEFAULTS = System(
    name="MLServer, defaults",
    python="mlserver",
    path="/v2/models/model/infer",
    start=partial(_start, tuned=False),
    body=_body,
    answer=_answer,
    settings=f"max_batch_size {MAX_BATCH}, all else as it comes",
    apart=True,
)
