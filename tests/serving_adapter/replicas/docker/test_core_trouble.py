"""A serving core that does not come up: how its container ended reaches whoever deploys."""

from __future__ import annotations

import pytest

from serving_adapter.replicas import CoreOptions
from serving_adapter.replicas.docker import DockerOptions, DockerTarget
from tests.serving_adapter.replicas.docker.engines import until

pytestmark = pytest.mark.containers


def test_an_option_that_the_core_does_not_know(service, image, swept, a_set):
    target = DockerTarget(DockerOptions(url=service.url, image=image))
    deployment = a_set(1, "double").deployment
    assert target.core_trouble(deployment) == ""
    options = CoreOptions(query_port=0, admin_port=0, rpc_port=0, arguments=("--no-such-option",))
    target.start_core(deployment, options)
    until(lambda: "No such option" in target.core_trouble(deployment))
    assert "-core is " in target.core_trouble(deployment)
    target.stop(deployment)
    target.close()
