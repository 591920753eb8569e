"""InferLine: ``inferline serve`` and one process for each replica, as its own containers are.

Set:

* the state is in memory, as it is with every peer: ``--state memory://``;
* the model's batch size is the maximum that every peer has; nothing waits for a batch to fill (the default).

Left as it comes: the prediction cache (its price is paid in full and it helps nowhere, as no input comes twice),
metrics, and limits. Queries have 5 seconds before the default output is the reply, which counts as a wrong one.
"""

from __future__ import annotations

import http.client
import json
from typing import Any

from benchmarks.serving_peers.room import PROGRAMS, Room
from benchmarks.serving_peers.system import MAX_BATCH, PORT, Setup, System, json_body

__all__ = ["INFERLINE"]

ADMIN_PORT = 8001
RPC_PORT = 8002


def _start(room: Room, setup: Setup) -> None:
    ports = ["--query-port", str(PORT), "--admin-port", str(ADMIN_PORT), "--rpc-port", str(RPC_PORT)]
    serve = [room.python, "-m", "inferline", "serve", "--state", "memory://", "--log-level", "warning", *ports]
    room.run(*serve, environment=setup.environment)
    room.until(lambda: "model containers" in room.output(), "start")
    application = {"name": "app", "input_type": "doubles", "default_output": "-1.0", "latency_slo_micros": 5_000_000}
    _administer("add_app", **application)
    model = {"model_name": "model", "model_version": "1", "input_type": "doubles", "batch_size": MAX_BATCH}
    _administer("add_model", **model, labels=[], container_name="", model_data_path="")
    _administer("add_model_links", app_name="app", model_names=["model"])
    for _ in range(setup.replicas):
        container = [room.python, PROGRAMS / "inferline_container.py", f"tcp://127.0.0.1:{RPC_PORT}"]
        room.run(*container, environment=setup.environment)
    room.until(lambda: len(_administer("get_all_containers", verbose=False)) == setup.replicas, "containers")


def _administer(verb: str, **document: Any) -> Any:  # noqa: ANN401 - JSON
    connection = http.client.HTTPConnection("127.0.0.1", ADMIN_PORT, timeout=10)
    connection.request("POST", f"/admin/{verb}", json.dumps(document), {"Content-Type": "application/json"})
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    if reply.status != 200:
        raise RuntimeError(f"{verb}: HTTP {reply.status}: {text}")
    return json.loads(text) if text.startswith(("[", "{")) else text


def _answer(body: bytes) -> float:
    reply = json.loads(body)
    if reply["default"]:
        raise ValueError("the default output")
    return float(reply["output"])


INFERLINE = System(
    name="InferLine",
    python=None,
    path="/app/predict",
    start=_start,
    body=json_body,
    answer=_answer,
    settings=f"inferline serve --state memory://, batch size {MAX_BATCH}; the rest as it comes",
)
