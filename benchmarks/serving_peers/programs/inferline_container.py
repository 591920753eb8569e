"""A model container for InferLine: the runtime that ships with it, around the benchmark's model."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import Any

from model import predict

from serving_adapter.rpc.container import Container


class _Model:
    def predict(self, inputs: Sequence[Any]) -> list[float]:
        return predict(inputs)


if __name__ == "__main__":
    container = Container(model=_Model(), name="model", version="1", input_type="doubles", address=sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: container.stop.set())
    container.serve()
