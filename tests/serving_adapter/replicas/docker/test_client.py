"""A model that is deployed from Python, in an image of its own."""

import os
from contextlib import suppress

import docker
import httpx
import pytest

from serving_adapter.client import ClipperConnection
from serving_adapter.client.deployers.python import create_endpoint

pytestmark = pytest.mark.containers


def test_model_in_an_image_of_its_own(service, engine, image, target, core, monkeypatch, tmp_path, settled):
    monkeypatch.setenv("DOCKER_HOST", service.url)
    cluster = f"client-{os.getpid()}"

    def twice(inputs):
        return [2 * each.sum() for each in inputs]

    with ClipperConnection(target, cluster, folder=tmp_path, base_image=image, timeout_s=60.0) as connection:
        connection.connect(core.at)
        try:
            create_endpoint(connection, "imaged", "doubles", twice, slo_micros=20_000_000)
            query = f"http://{connection.get_query_addr()}/imaged/predict"
            assert httpx.post(query, json={"input": [1.0, 2.0]}, timeout=30).json()["output"] == 6.0
            assert connection.get_model_info("imaged", 1)["container_name"] == "localhost/imaged:1"
            settled(target, cluster, lambda replicas: [each.phase for each in replicas] == ["ready"])
            connection.stop_models(["imaged"])
            connection.delete_application("imaged")
        finally:
            target.stop(cluster)
            settled(target, cluster, lambda replicas: not replicas)
            with suppress(docker.errors.ImageNotFound):
                engine.images.remove("localhost/imaged:1", force=True)
