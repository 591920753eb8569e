"""A serving core, asked as any client does."""

from __future__ import annotations

import httpx

from serving_adapter.replicas import CoreAddress, ReplicaSet
from tests.serving_adapter.replicas.docker.engines import LONG_S

__all__ = ["Core"]


class Core:
    def __init__(self, at: CoreAddress) -> None:
        self.at = at
        self._client = httpx.Client(timeout=LONG_S)

    def ask(self, path: str, **document):
        reply = self._client.post(f"http://{self.at.host}:{self.at.admin_port}/admin/{path}", json=document)
        assert reply.status_code == httpx.codes.OK, reply.text
        return reply

    def serve(self, wanted: ReplicaSet) -> None:
        """Register the model of a set, and an application of the same name."""
        names = {"model_name": wanted.model, "model_version": wanted.version}
        where = {"container_name": "image", "model_data_path": "none", "labels": []}
        self.ask("add_model", **names, **where, input_type="doubles", batch_size=8)
        limits = {"default_output": "-1.0", "latency_slo_micros": 20_000_000}
        self.ask("add_app", name=wanted.model, input_type="doubles", **limits)
        self.ask("add_model_links", app_name=wanted.model, model_names=[wanted.model])

    def predict(self, wanted: ReplicaSet, value: float):
        """Return the answer to a query; the test fails when it is the default one."""
        url = f"http://{self.at.host}:{self.at.query_port}/{wanted.model}/predict"
        answer = self._client.post(url, json={"input": [float(value)]}).json()
        assert answer["default"] is False, answer
        return answer["output"]

    def registered(self, wanted: ReplicaSet) -> int:
        """Return how many replicas of a set the core counts on."""
        everyone = self.ask("get_all_containers", verbose=False).json()
        return sum(each.startswith(f"{wanted.model}:{wanted.version}:") for each in everyone)

    def is_ready(self) -> bool:
        try:
            return self._client.get(f"http://{self.at.host}:{self.at.query_port}/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def close(self) -> None:
        self._client.close()
