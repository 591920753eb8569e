"""What containers are called, and what their labels say: all that is kept about a deployment.

Labels cannot be changed and names can. So a container that has been told to end is told from the others by its name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import sha256

from serving_adapter.replicas.protocol import CoreAddress, ReplicaSet, SetKey

__all__ = [
    "ACCELERATORS",
    "CORE",
    "CORES",
    "DEPLOYMENT",
    "READY_FILE",
    "REPLICA",
    "ROLE",
    "UNUSED",
    "core_labels",
    "core_name",
    "is_stopping",
    "read_core",
    "read_key",
    "replica_labels",
    "replica_name",
    "stopping_name",
]

DEPLOYMENT = "inferline.deployment"
ROLE = "inferline.role"
READY_FILE = "inferline.ready-file"
CORES = "inferline.cores"
ACCELERATORS = "inferline.accelerators"

CORE = "core"
REPLICA = "replica"
UNUSED = "none"
"""The role of a container that is never started: it stands for a set of no replicas."""

_KEY = ("inferline.stage", "inferline.version", "inferline.hardware")
_PLAN = "inferline.plan"
_ADDRESS = ("inferline.host", "inferline.query-port", "inferline.admin-port", "inferline.rpc-port")
_STOPPING = ".stopping."
_LONGEST = 24


def core_name(deployment: str) -> str:
    """Return what a deployment's serving core is called; a network's names find it so too.

    Examples
    --------
    >>> core_name("social-media")
    'inferline-social-media-a678fb7a-core'
    """
    return f"inferline-{_readable(deployment)}-{_digest(deployment)}-{CORE}"


def replica_name(wanted: ReplicaSet, number: int | str) -> str:
    """Return what one replica of a set is called. Two that are started at once cannot both be the same one."""
    readable = "-".join(_readable(text) for text in (wanted.deployment, wanted.stage))
    return f"inferline-{readable}-{_digest(wanted.deployment, *wanted.key)}-{number}"


def stopping_name(name: str, identity: str) -> str:
    """Return what a container is called once it has been told to end."""
    return f"{name}{_STOPPING}{identity[:12]}"


def is_stopping(name: str) -> bool:
    """Whether a container of that name has been told to end."""
    return _STOPPING in name


def core_labels(deployment: str, address: CoreAddress) -> dict[str, str]:
    """Return the labels of a deployment's serving core."""
    where = (address.host, address.query_port, address.admin_port, address.rpc_port)
    return {
        DEPLOYMENT: deployment,
        ROLE: CORE,
        **{name: str(each) for name, each in zip(_ADDRESS, where, strict=True)},
    }


def replica_labels(wanted: ReplicaSet, role: str = REPLICA) -> dict[str, str]:
    """Return the labels that all replicas of a set have, or the container that stands for none."""
    key = dict(zip(_KEY, wanted.key, strict=True))
    return {DEPLOYMENT: wanted.deployment, ROLE: role, **key, _PLAN: wanted.plan}


def read_key(labels: Mapping[str, str]) -> SetKey:
    """Return the set that a container belongs to.

    Raises
    ------
    KeyError
        When its labels do not say so.
    """
    return SetKey(*(labels[name] for name in _KEY))


def read_core(labels: Mapping[str, str]) -> CoreAddress:
    """Return where the serving core of that container listens.

    Raises
    ------
    KeyError, ValueError
        When its labels do not say so.
    """
    host, *ports = (labels[name] for name in _ADDRESS)
    query, admin, rpc = (int(port) for port in ports)
    return CoreAddress(host=host, query_port=query, admin_port=admin, rpc_port=rpc)


def _readable(text: str) -> str:
    """Return what is left of a text when only what names of containers may have may be."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:_LONGEST].strip("-")


def _digest(*texts: str) -> str:
    return sha256(json.dumps(texts).encode()).hexdigest()[:8]
