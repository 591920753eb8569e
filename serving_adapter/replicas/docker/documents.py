"""What the engine is asked to make: the container of a replica, and that of the serving core.

They are arguments of ``containers.create`` in the engine's client, as plain values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from serving_adapter.replicas.docker.labels import (
    READY_FILE,
    UNUSED,
    core_labels,
    core_name,
    replica_labels,
    replica_name,
)
from serving_adapter.replicas.docker.options import HOST_NETWORK, DockerOptions
from serving_adapter.replicas.docker.placing import Place, accelerators_of, place_labels
from serving_adapter.replicas.protocol import CoreAddress, ReplicaSet
from serving_adapter.rpc.values import data_type_of

__all__ = [
    "CORE_PORTS",
    "Container",
    "core_container",
    "replica_container",
    "unused_container",
]

Container = dict[str, Any]

CORE_PORTS = CoreAddress(host="0.0.0.0")
"""Where the core listens in a container with a network of its own."""

_READY_FILE = "/tmp/inferline-ready"
_CLIPPER_READY_FILE = "/model_is_ready.check"
_COMMAND = f"rm -f {_READY_FILE}; exec inferline-container"
"""The file of a process that was killed is there when the container is started again, and is not the next one's."""

_KEPT_RUNNING = {"Name": "always"}
_NO_MORE = {"security_opt": ["no-new-privileges"], "cap_drop": ["ALL"]}
"""Neither a model nor the core needs any privilege."""


def replica_container(
    wanted: ReplicaSet,
    options: DockerOptions,
    *,
    name: str,
    core: tuple[str, int],
    chosen: Place,
    runtime: str | None,
    cdi: bool,
) -> Container:
    """Return the container of one replica.

    Parameters
    ----------
    wanted, options
        The set that it belongs to, and the target's options.
    name
        What it is called.
    core
        Host and port where the serving core listens for containers, as seen from this one.
    chosen
        Cores that it stays on, none for its share of all; accelerators that it gets, none to let the engine choose.
    runtime
        OCI runtime to name; None for none.
    cdi
        Whether the engine knows accelerators by the Container Device Interface, as Podman does.
    """
    foreign = wanted.entry.kind == "container"
    ready_file = _CLIPPER_READY_FILE if foreign else _READY_FILE
    variables = _clipper_variables(wanted, core) if foreign else _variables(wanted, options, core, ready_file)
    return {
        "image": _image(wanted, options),
        "command": None if foreign else ["/bin/sh", "-c", _COMMAND],
        "name": name,
        "labels": {**replica_labels(wanted), READY_FILE: ready_file, **place_labels(chosen)},
        "environment": variables,
        "network_mode": options.network,
        "restart_policy": _KEPT_RUNNING,
        **({} if foreign else _NO_MORE),
        **_share(wanted, options, chosen),
        **_devices(accelerators_of(wanted), chosen.accelerators, cdi=cdi),
        **({} if runtime is None else {"runtime": runtime}),
    }


def unused_container(wanted: ReplicaSet, options: DockerOptions) -> Container:
    """Return the container that stands for a set of no replicas; it is never started."""
    return {
        "image": _image(wanted, options),
        "command": ["true"],
        "name": replica_name(wanted, UNUSED),
        "labels": replica_labels(wanted, UNUSED),
        "network_mode": options.network,
    }


def core_container(deployment: str, options: DockerOptions, at: CoreAddress, arguments: Sequence[str]) -> Container:
    """Return the container of the serving core.

    Parameters
    ----------
    deployment, options
        What it serves, and the target's options.
    at
        Where it is to be found from outside; every port is a number.
    arguments
        Further options of ``inferline serve``.
    """
    shared = options.network == HOST_NETWORK
    inside = at if shared else CORE_PORTS
    ports = ((inside.query_port, at.query_port), (inside.admin_port, at.admin_port), (inside.rpc_port, at.rpc_port))
    listen = {
        "--host": inside.host,
        "--query-port": inside.query_port,
        "--admin-port": inside.admin_port,
        "--rpc-port": inside.rpc_port,
    }
    return {
        "image": options.image,
        "command": ["inferline", "serve", *(str(word) for pair in listen.items() for word in pair), *arguments],
        "name": core_name(deployment),
        "labels": core_labels(deployment, at),
        "network_mode": options.network,
        "ports": {} if shared else {f"{inner}/tcp": (at.host, outer) for inner, outer in ports},
        "restart_policy": _KEPT_RUNNING,
        **_NO_MORE,
    }


def _variables(wanted: ReplicaSet, options: DockerOptions, core: tuple[str, int], ready_file: str) -> dict[str, str]:
    alone = options.network != HOST_NETWORK
    return {
        "CLIPPER_MODEL_NAME": wanted.model,
        "CLIPPER_MODEL_VERSION": wanted.version,
        "CLIPPER_IP": core[0],
        "CLIPPER_PORT": str(core[1]),
        "INFERLINE_MODEL": json.dumps(wanted.entry.document(own_accelerators=accelerators_of(wanted) > 0)),
        "INFERLINE_FOLDER": options.folder,
        "INFERLINE_THREADS": str(max(1, math.floor(wanted.hardware.cpus))),
        "INFERLINE_READY_FILE": ready_file,
        # Replicas that share the machine's network cannot all have the same port.
        **({"INFERLINE_METRICS_HOST": "0.0.0.0"} if alone else {"INFERLINE_METRICS_PORT": "0"}),
    }


def _clipper_variables(wanted: ReplicaSet, core: tuple[str, int]) -> dict[str, str]:
    return {
        "CLIPPER_MODEL_NAME": wanted.model,
        "CLIPPER_MODEL_VERSION": wanted.version,
        "CLIPPER_IP": core[0],
        "CLIPPER_PORT": str(core[1]),
        "CLIPPER_INPUT_TYPE": data_type_of(wanted.entry.input_type).readable,
    }


def _image(wanted: ReplicaSet, options: DockerOptions) -> str:
    return wanted.entry.target if wanted.entry.kind == "container" else options.image


def _share(wanted: ReplicaSet, options: DockerOptions, chosen: Place) -> dict[str, Any]:
    memory = options.memory_bytes.get(wanted.hardware.name)
    cores = ",".join(map(str, chosen.cores))
    processor = {"cpuset_cpus": cores} if cores else {"nano_cpus": round(wanted.hardware.cpus * 1e9)}
    return {**processor, **({} if memory is None else {"mem_limit": memory})}


def _devices(count: int, named: Sequence[str], *, cdi: bool) -> dict[str, Any]:
    if not count:
        return {}
    if cdi:
        ids = [f"nvidia.com/gpu={each}" for each in named or range(count)]
        return {"device_requests": [{"driver": "cdi", "device_ids": ids}]}
    which: dict[str, Any] = {"device_ids": list(named)} if named else {"count": count}
    return {"device_requests": [{"capabilities": [["gpu"]], **which}]}
