"""Objects that somebody else has edited so that they cannot be read."""

from __future__ import annotations

import pytest

from inferline.errors import OutsideError
from serving_adapter.replicas import CoreOptions
from tests.serving_adapter.replicas.kubernetes.cluster import MERGE

pytestmark = pytest.mark.kubernetes


def test_a_core_whose_service_has_lost_a_port(cluster, namespace, target):
    at = target.start_core("social-media", CoreOptions())
    assert target.core("social-media") == at
    path = f"/api/v1/namespaces/{namespace}/services/social-media-core"
    cluster.ask("PATCH", path, {"spec": {"ports": [{"name": "query", "port": 1337}]}}, kind=MERGE)
    with pytest.raises(OutsideError, match=r"Service 'social-media-core' .* has no port named 'admin' any more"):
        target.core("social-media")
    target.stop("social-media")
    assert target.core("social-media") is None
