"""What hardware is to Kubernetes: what a container gets, and which nodes can give it."""

from __future__ import annotations

import re

from inferline.domain import Hardware
from inferline.errors import InputError
from serving_adapter.replicas.kubernetes.documents import Document
from serving_adapter.replicas.kubernetes.names import label_value
from serving_adapter.replicas.kubernetes.options import KubernetesOptions

__all__ = ["accelerators_of", "place", "resources"]

_HARDWARE_LABEL = "inferline.io/hardware"

_MAKERS = {
    "nvidia": "nvidia.com/gpu",
    "tesla": "nvidia.com/gpu",
    "geforce": "nvidia.com/gpu",
    "amd": "amd.com/gpu",
    "radeon": "amd.com/gpu",
    "intel": "gpu.intel.com/i915",
    "gaudi": "habana.ai/gaudi",
    "tpu": "google.com/tpu",
    "neuron": "aws.amazon.com/neuron",
    "inferentia": "aws.amazon.com/neuron",
}
"""What the makers' device plugins call what they offer, by a word in the name of the accelerator."""


def accelerators_of(hardware: Hardware) -> int:
    """Return how many accelerators a replica gets."""
    return max(0 if hardware.accelerator is None else 1, hardware.accelerators)


def resources(hardware: Hardware, options: KubernetesOptions) -> Document:
    """Return what a replica's container gets: as much as it was profiled with, and never more.

    Raises
    ------
    InputError
        When nothing says what nodes call the accelerator.

    Examples
    --------
    >>> gpu = Hardware(name="gpu", price_nano_usd_per_hour=0, cpus=1.5, accelerator="nvidia-k80")
    >>> resources(gpu, KubernetesOptions())
    {'requests': {'cpu': '1500m'}, 'limits': {'cpu': '1500m', 'nvidia.com/gpu': '1'}}
    """
    thousandths = max(1, round(hardware.cpus * 1000))
    memory = options.memory_bytes.get(hardware.name)
    both = {
        "cpu": f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000),
        **({} if memory is None else {"memory": str(memory)}),
    }
    count = accelerators_of(hardware)
    return {"requests": both, "limits": both | ({_resource(hardware, options): str(count)} if count else {})}


def place(hardware: Hardware, options: KubernetesOptions) -> Document:
    """Return what of a Pod's specification says where it runs, and under which runtime.

    Raises
    ------
    InputError
        When nothing says what nodes call the accelerator.
    """
    labels = options.node_selectors.get(hardware.name, {_HARDWARE_LABEL: label_value(hardware.name)})
    kept_free = [_resource(hardware, options)] if accelerators_of(hardware) else []
    isolation = hardware.isolation
    return {
        "nodeSelector": dict(labels),
        # Nodes with accelerators are commonly kept free of Pods that need none.
        "tolerations": [{"key": each, "operator": "Exists", "effect": "NoSchedule"} for each in kept_free],
        **({} if isolation is None else {"runtimeClassName": options.runtime_classes.get(isolation, isolation)}),
    }


def _resource(hardware: Hardware, options: KubernetesOptions) -> str:
    kind = hardware.accelerator or ""
    words = re.findall(r"[a-z]+", kind.lower())
    known = options.accelerator_resources.get(kind) or next(
        (_MAKERS[word] for word in words if word in _MAKERS), None
    )
    if known is None:
        raise InputError(
            f"target kubernetes: hardware {hardware.name!r} has the accelerator {kind!r}, whose maker is not known; "
            "say what nodes call it, as nvidia.com/gpu"
        )
    return known
