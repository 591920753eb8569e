"""What the Kubernetes target is told beside the plan."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from inferline.errors import InputError

__all__ = ["KubernetesOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesOptions:
    """How replicas and the serving core become Pods.

    Parameters
    ----------
    namespace
        Where they are; it exists.
    image
        Image that holds InferLine (``inferline[serve]`` and what the models need) and the pipeline's folder. It runs
        the core, and the replicas of every model but those of kind ``container``, which name their own.
    folder
        The pipeline's folder in that image.
    memory_bytes
        Request and limit of a replica, by hardware; neither for hardware that is not named.
    pull_secret
        Secret that the images are pulled with; empty for none.
    node_selectors
        Labels of the nodes, by hardware. Hardware that is not named here takes ``inferline.io/hardware: NAME``; an
        empty mapping takes any node.
    accelerator_resources
        What a node calls its accelerators, by the kind in the pipeline file, as ``{"tpu-v5e": "google.com/tpu"}``.
        A kind that is not named here is looked at for its maker (``nvidia-k80``).
    runtime_classes
        RuntimeClass by isolation; one that is not named here has its isolation's name.
    grace_s
        How long a Pod that is told to end may take for the batch in hand, or the core for the queries in flight.
    start_limit_s
        How long a replica may load its model before it is started again.
    core_secret
        Secret whose keys become environment variables of the core, as ``INFERLINE_ADMIN_TOKEN``; empty for none.
    core_claim
        PersistentVolumeClaim that keeps the core's state; empty to keep it only as long as the Pod.

    Raises
    ------
    InputError
        When a value is none that Kubernetes can take.
    """

    namespace: str = "default"
    image: str = ""
    folder: str = "/pipeline"
    memory_bytes: Mapping[str, int] = field(default_factory=dict)
    pull_secret: str = ""
    node_selectors: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    accelerator_resources: Mapping[str, str] = field(default_factory=dict)
    runtime_classes: Mapping[str, str] = field(default_factory=dict)
    grace_s: float = 60.0
    start_limit_s: float = 600.0
    core_secret: str = ""
    core_claim: str = ""

    def __post_init__(self) -> None:
        if re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", self.namespace) is None:
            raise InputError(
                f"target kubernetes: namespace {self.namespace!r} is no name of one; expects lower-case letters, "
                "digits and dashes"
            )
        if self.grace_s < 0 or self.start_limit_s <= 0 or any(each <= 0 for each in self.memory_bytes.values()):
            raise InputError(
                f"target kubernetes: grace_s {self.grace_s:g}, start_limit_s {self.start_limit_s:g} and memory_bytes "
                f"{dict(self.memory_bytes)} expect times and sizes above 0 (no grace is 0)"
            )
