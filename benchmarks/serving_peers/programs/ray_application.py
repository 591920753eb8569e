"""The model as a Ray Serve application; runs until SIGTERM. What is set and why stands in ``ray_serve.py``."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from typing import Any

import orjson
import ray
from model import predict
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig
from starlette.requests import Request
from starlette.responses import Response

TUNED = os.environ["BENCHMARK_TUNED"] == "1"
REPLICAS = int(os.environ["BENCHMARK_REPLICAS"])
PR_SET_CHILD_SUBREAPER = 36

batch = serve.batch(
    max_batch_size=int(os.environ["BENCHMARK_BATCH"]),
    batch_wait_timeout_s=0.0 if TUNED else 0.01,
)


class Model:
    """One replica: a batch at a time."""

    @batch
    async def predict(self, inputs: list[list[float]]) -> list[float]:
        """Predict in the loop itself; see ``ray_serve.py``."""
        return predict(inputs)

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        output: Any = await self.predict(orjson.loads(await request.body())["input"])
        return Response(b'{"output":%b}' % repr(output).encode(), media_type="application/json")


def main() -> None:
    """Start a cluster of this machine alone, deploy, and wait for the end."""
    # What loses its parent stays a descendant of this process, and is counted and ended with it.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    ray.init(
        address="local",
        num_cpus=REPLICAS,  # each takes one; for more, Ray would keep processes in reserve
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 * 2**20,
        _temp_dir=sys.argv[1],
        _node_ip_address="127.0.0.1",
    )
    options: dict[str, Any] = {"num_replicas": REPLICAS}
    logging = None
    if TUNED:
        options["max_ongoing_requests"] = 10_000
        logging = LoggingConfig(enable_access_log=False, log_level="WARNING")
        options["logging_config"] = logging
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=int(sys.argv[2])), logging_config=logging)
    serve.run(serve.deployment(**options)(Model).bind(), route_prefix="/")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    ray.shutdown()


if __name__ == "__main__":
    main()
