"""What is made of what the server says of Pods and Deployments."""

from __future__ import annotations

import pytest

from inferline.errors import OutsideError
from serving_adapter.replicas import Replica, SetKey
from serving_adapter.replicas.kubernetes.reading import read_missing, read_pod, read_requested

KEY = SetKey("translate", "1", "cpu-2")
ANNOTATIONS = {"inferline.io/stage": "translate", "inferline.io/version": "1", "inferline.io/hardware": "cpu-2"}
CREATED = "2026-01-02T00:00:00Z"
STARTED = "2026-01-02T00:00:05Z"
CREATED_S = 1767312000.0

READY = {"type": "Ready", "status": "True"}
NOT_READY = {"type": "Ready", "status": "False"}
UNPLACED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
}
RUNNING = {"running": {"startedAt": STARTED}}
ENDED = {"exitCode": 1, "reason": "Error", "message": "loading\nlevel=ERROR no module 'torch'\n"}
KILLED = {"exitCode": 137, "reason": "OOMKilled"}


def pod(*conditions, state=None, last=None, restarts=0, **status):
    containers = [{"name": "model", "state": state, "lastState": last or {}, "restartCount": restarts}]
    return {
        "metadata": {"name": "p", "namespace": "n", "annotations": ANNOTATIONS, "creationTimestamp": CREATED},
        "status": {"conditions": list(conditions), **({"containerStatuses": containers} if state else {}), **status},
    }


def read(*conditions, **status):
    replica = read_pod(pod(*conditions, **status))
    assert (replica.id, replica.key) == ("p", KEY)
    return replica.phase, replica.restarts, replica.since_s - CREATED_S, replica.message


def test_from_its_making_to_its_first_answer():
    assert read() == ("starting", 0, 0.0, "")
    assert read(UNPLACED) == (
        "starting",
        0,
        0.0,
        "Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
    )
    assert read(NOT_READY, state={"waiting": {"reason": "ContainerCreating"}}) == ("starting", 0, 0.0, "")
    assert read(NOT_READY, state=RUNNING) == ("starting", 0, 5.0, "")
    assert read(READY, state=RUNNING) == ("ready", 0, 5.0, "")


def test_a_container_that_ends_again_and_again():
    assert read(NOT_READY, state={"terminated": ENDED}) == (
        "failed",
        0,
        0.0,
        "ended with exit code 1: level=ERROR no module 'torch'",
    )
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}
    assert read(NOT_READY, state=waiting, last={"terminated": KILLED}, restarts=3) == (
        "failed",
        3,
        0.0,
        "ended with exit code 137 (OOMKilled)",
    )
    # Started again, but not there yet: it still says why.
    assert read(NOT_READY, state=RUNNING, last={"terminated": KILLED}, restarts=4)[:2] == ("starting", 4)
    assert read(READY, state=RUNNING, last={"terminated": KILLED}, restarts=4) == ("ready", 4, 5.0, "")


def test_an_image_that_cannot_be_had_has_not_failed_yet():
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "i"'}}
    assert read(NOT_READY, state=waiting) == ("starting", 0, 0.0, 'ImagePullBackOff: Back-off pulling image "i"')


def test_a_pod_that_was_evicted():
    evicted = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    assert read(**evicted) == ("failed", 0, 0.0, "Evicted: The node was low on resource: memory.")


def test_a_pod_that_is_to_end_ends_whatever_else_it_is():
    document = pod(READY, state=RUNNING)
    document["metadata"]["deletionTimestamp"] = STARTED
    assert read_pod(document).phase == "stopping"


def test_a_deployment_asks_for_what_its_specification_says():
    metadata = {"name": "d", "namespace": "n", "annotations": ANNOTATIONS}
    assert read_requested({"metadata": metadata, "spec": {"replicas": 7}}) == (KEY, 7)
    assert read_requested({"metadata": metadata, "spec": {"replicas": 0}}) == (KEY, 0)
    assert read_missing({"metadata": metadata}) is None


def test_replicas_that_may_not_be_made_are_told_of():
    refused = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": 'pods "d-" is forbidden: exceeded quota',
        "lastTransitionTime": STARTED,
    }
    metadata = {"name": "d", "namespace": "n", "annotations": ANNOTATIONS}
    assert read_missing({"metadata": metadata, "status": {"conditions": [refused]}}) == Replica(
        id="d",
        key=KEY,
        phase="failed",
        since_s=CREATED_S + 5.0,
        message='FailedCreate: pods "d-" is forbidden: exceeded quota',
    )


def test_what_only_looks_like_ours_is_named():
    with pytest.raises(
        OutsideError, match=r"'d' in namespace 'n' has InferLine's labels, but no annotation inferline\.io/"
    ):
        read_requested({"metadata": {"name": "d", "namespace": "n"}, "spec": {}})
