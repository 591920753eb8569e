"""A fake kubelet, with a fake scheduler: what the API server sees of machines, where there is only this one.

Pods are made by the real controllers. They are bound to a node that does not exist, and then either only said to run,
or run as processes of this machine (`containers.py`).
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from tests.serving_adapter.replicas.kubernetes.cluster import MERGE, Cluster
from tests.serving_adapter.replicas.kubernetes.containers import LocalContainer

_LOOK_S = 0.05


class FakeKubelet(threading.Thread):
    """Looks at all Pods again and again, and does to each what is next.

    Attributes
    ----------
    full
        Hardware that there is no node for.
    loading
        Hardware whose Pods run and do not become ready; those that were go on.
    broken
        Images that cannot be pulled.
    folders
        Namespaces whose Pods are run as processes, with the folder that stands for the one in the image.
    """

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(name="fake kubelet", daemon=True)
        self._cluster = cluster
        self._ended = threading.Event()
        self._said: dict[str, Any] = {}
        self._up: set[str] = set()
        self._containers: dict[str, LocalContainer] = {}
        self.full: set[str] = set()
        self.loading: set[str] = set()
        self.broken: set[str] = set()
        self.folders: dict[str, Path] = {}

    def run(self) -> None:
        while not self._ended.wait(_LOOK_S):
            with suppress(httpx.TransportError, AssertionError):  # the API server is away, or not up yet
                self._look()

    def stop(self) -> None:
        self._ended.set()
        self.join(10)
        for each in self._containers.values():
            each.kill()

    def container(self, pod: str) -> LocalContainer:
        """Return the container that stands for a Pod's."""
        return next(each for each in self._containers.values() if each.pod == pod)

    def _look(self) -> None:
        pods = self._cluster.ask("GET", "/api/v1/pods")["items"]
        for pod in pods:
            with suppress(AssertionError):  # it has changed since; the next look shows how
                self._attend(pod)
        there = {pod["metadata"]["uid"] for pod in pods}
        for gone in self._containers.keys() - there:  # deleted by force
            self._containers.pop(gone).kill()

    def _attend(self, pod: dict[str, Any]) -> None:
        metadata, spec = pod["metadata"], pod["spec"]
        hardware = metadata.get("annotations", {}).get("inferline.io/hardware", "")
        if "deletionTimestamp" in metadata:
            self._end(pod)
        elif spec.get("nodeName"):
            self._say(pod, self._state(pod, hardware))
        elif hardware in self.full:
            message = "0/1 nodes are available: 1 node(s) didn't match node selector."
            unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
            self._say(pod, {"phase": "Pending", "conditions": [unplaced]})
        else:
            binding = {"metadata": {"name": metadata["name"]}, "target": {"kind": "Node", "name": "node-1"}}
            self._cluster.ask("POST", f"{_path(pod)}/binding", binding)

    def _state(self, pod: dict[str, Any], hardware: str) -> dict[str, Any]:
        metadata, spec = pod["metadata"], pod["spec"]
        image = spec["containers"][0]["image"]
        if image in self.broken:
            message = f'Back-off pulling image "{image}"'
            return _status(pod, {"waiting": {"reason": "ImagePullBackOff", "message": message}}, ready=False)
        folder = self.folders.get(metadata["namespace"])
        if folder is None:
            running = {"running": {"startedAt": metadata["creationTimestamp"]}}
            if hardware not in self.loading:
                self._up.add(metadata["uid"])
            return _status(pod, running, ready=metadata["uid"] in self._up)
        container = self._containers.get(metadata["uid"])
        if container is None:
            container = LocalContainer(metadata["name"], spec["containers"][0], folder)
            self._containers[metadata["uid"]] = container
        container.attend()
        counts = {"restarts": container.restarts, "last": container.last}
        return _status(pod, container.state(), ready=container.ready(), **counts)

    def _end(self, pod: dict[str, Any]) -> None:
        container = self._containers.get(pod["metadata"]["uid"])
        if container is not None and not container.has_ended(pod["metadata"]["deletionGracePeriodSeconds"]):
            return
        self._containers.pop(pod["metadata"]["uid"], None)
        self._cluster.ask("DELETE", _path(pod), {"gracePeriodSeconds": 0})

    def _say(self, pod: dict[str, Any], status: dict[str, Any]) -> None:
        uid = pod["metadata"]["uid"]
        if self._said.get(uid) != status:
            self._cluster.ask("PATCH", f"{_path(pod)}/status", {"status": status}, kind=MERGE)
            self._said[uid] = status


def _path(pod: dict[str, Any]) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _status(
    pod: dict[str, Any], state: dict[str, Any], *, ready: bool, restarts: int = 0, last: dict[str, Any] | None = None
) -> dict[str, Any]:
    container = pod["spec"]["containers"][0]
    said = "True" if ready else "False"
    return {
        "phase": "Pending" if "waiting" in state and not last else "Running",
        "startTime": pod["metadata"]["creationTimestamp"],
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Initialized", "status": "True"},
            {"type": "ContainersReady", "status": said},
            {"type": "Ready", "status": said},
        ],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": ready,
                "restartCount": restarts,
                "state": state,
                "lastState": last or {},
            }
        ],
    }
