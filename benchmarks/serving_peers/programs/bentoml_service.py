"""The model as a BentoML service. What is set and why stands in ``bentoml_serve.py``."""

from __future__ import annotations

import os
from typing import Annotated, Any

import bentoml
from bentoml.validators import ContentType
from model import predict

TUNED = os.environ["BENCHMARK_TUNED"] == "1"

options: dict[str, Any] = {"workers": int(os.environ["BENCHMARK_REPLICAS"]), "traffic": {"timeout": 60}}
batching: dict[str, Any] = {"batchable": True, "max_batch_size": int(os.environ["BENCHMARK_BATCH"])}
if TUNED:
    options |= {
        "threads": 1,
        "logging": {"access": {"enabled": False}},
        "metrics": {"enabled": False},
        "monitoring": {"enabled": False},
        "tracing": {"excluded_urls": "predict"},
    }

Outputs = Annotated[list[float], ContentType("application/json")] if TUNED else list[float]


@bentoml.service(**options)
class Model:
    """One replica for each process; a batch at a time."""

    @bentoml.api(**batching)
    def predict(self, inputs: list[list[float]]) -> Outputs:  # type: ignore[valid-type]
        """Predict a batch that BentoML has put together."""
        return predict(inputs)
