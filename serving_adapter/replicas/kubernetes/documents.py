"""The objects of Kubernetes as documents: what all of ours have in common, and how they are written down."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from inferline.errors import OutsideError
from serving_adapter.replicas.kubernetes.names import label_value, name_of, set_name
from serving_adapter.replicas.protocol import ReplicaSet, SetKey

__all__ = [
    "CORE",
    "REPLICA",
    "Document",
    "core_labels",
    "key_annotations",
    "read_key",
    "replica_labels",
    "selector",
    "to_yaml",
]

Document = dict[str, Any]

CORE = "core"
REPLICA = "replica"

_COMPONENT = "app.kubernetes.io/component"
_DEPLOYMENT = "inferline.io/deployment"
_OURS = {"app.kubernetes.io/name": "inferline", "app.kubernetes.io/managed-by": "inferline"}
_KEY = tuple(f"inferline.io/{field}" for field in SetKey._fields)


def core_labels(deployment: str) -> dict[str, str]:
    """Return the labels of a deployment's serving core."""
    return {**_OURS, _COMPONENT: CORE, _DEPLOYMENT: name_of(deployment)}


def replica_labels(wanted: ReplicaSet) -> dict[str, str]:
    """Return the labels of a set's replicas, by which a person finds them too: ``inferline.io/stage=translate``.

    The plan is not among them: replicas go on under the next one.
    """
    key = {name: label_value(text) for name, text in zip(_KEY, wanted.key, strict=True)}
    place = {_COMPONENT: REPLICA, _DEPLOYMENT: name_of(wanted.deployment)}
    return {**_OURS, **place, "inferline.io/set": set_name(wanted.deployment, wanted.key), **key}


def key_annotations(key: SetKey) -> dict[str, str]:
    """Return the names of a set as they are, which labels may not be able to hold."""
    return dict(zip(_KEY, key, strict=True))


def read_key(document: Mapping[str, Any]) -> SetKey:
    """Return the set that a Deployment or a Pod belongs to.

    Raises
    ------
    OutsideError
        When it does not say so.
    """
    metadata = document.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    missing = [name for name in _KEY if name not in annotations]
    if missing:
        raise OutsideError(
            f"{metadata.get('name')!r} in namespace {metadata.get('namespace')!r} has InferLine's labels, but no "
            f"annotation {missing[0]}: put it back, or take the label {_DEPLOYMENT} away"
        )
    return SetKey(*(annotations[name] for name in _KEY))


def selector(deployment: str, component: str = "") -> str:
    """Return the label selector of what belongs to a deployment: all of it, or only its core or its replicas."""
    labels = {**_OURS, _DEPLOYMENT: name_of(deployment)}
    if component:
        labels[_COMPONENT] = component
    return ",".join(f"{name}={value}" for name, value in labels.items())


def to_yaml(documents: Iterable[Document]) -> str:
    """Return the documents as ``kubectl apply`` takes them."""
    apart = json.loads(json.dumps(list(documents)))  # what two places share would be written once, and referred to
    return str(yaml.safe_dump_all(apart, sort_keys=False, allow_unicode=True, explicit_start=True))
