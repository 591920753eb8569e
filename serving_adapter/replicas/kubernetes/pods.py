"""What runs in a Pod: one replica, or the serving core."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from inferline.errors import InputError
from serving_adapter.replicas.kubernetes.documents import Document, core_labels, key_annotations, replica_labels
from serving_adapter.replicas.kubernetes.options import KubernetesOptions
from serving_adapter.replicas.kubernetes.placing import accelerators_of, place, resources
from serving_adapter.replicas.protocol import CoreAddress, CoreOptions, ReplicaSet
from serving_adapter.rpc.values import data_type_of

__all__ = ["core_pod", "replica_pod"]

_CLIPPER_READY_FILE = "/model_is_ready.check"
_READY_FILE = "/tmp/inferline-ready"
"""In no volume: what a container that was killed has left there is gone when the next one starts."""

_METRICS_PORT = 1390
_STATE = "/var/lib/inferline"

_LAST_LINES = "FallbackToLogsOnError"
"""The last lines of its log say why a container has ended."""

_NO_MORE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
"""Neither our model containers nor the core need any privilege."""


def replica_pod(wanted: ReplicaSet, core: CoreAddress, options: KubernetesOptions) -> Document:
    """Return the template of a set's Pods.

    Raises
    ------
    InputError
        When an option is missing that this set needs.
    """
    return {
        "metadata": {"labels": replica_labels(wanted), "annotations": key_annotations(wanted.key)},
        "spec": {
            **_everywhere(options),
            "containers": [
                {
                    "name": "model",
                    **_model(wanted, core, options),
                    "resources": resources(wanted.hardware, options),
                    "terminationMessagePolicy": _LAST_LINES,
                }
            ],
            **place(wanted.hardware, options),
        },
    }


def core_pod(deployment: str, core: CoreOptions, options: KubernetesOptions) -> Document:
    """Return the template of the serving core's Pod; port 0 is the usual one, because a Pod has ports of its own.

    Raises
    ------
    InputError
        When no image is named.
    """
    ports = {"query": core.query_port or 1337, "admin": core.admin_port or 1338, "rpc": core.rpc_port or 7000}
    scheme = "HTTPS" if any(each.startswith("--tls-certificate") for each in core.arguments) else "HTTP"
    volume = {"persistentVolumeClaim": {"claimName": options.core_claim}} if options.core_claim else {"emptyDir": {}}
    return {
        "metadata": {"labels": core_labels(deployment)},
        "spec": {
            **_everywhere(options),
            "containers": [
                {
                    "name": "core",
                    "image": _image(options, "the serving core"),
                    "command": ["inferline", "serve"],
                    "args": [
                        "--host=0.0.0.0",
                        *(f"--{name}-port={port}" for name, port in ports.items()),
                        f"--state=sqlite:///{_STATE}/state.sqlite",
                        *(_literal(each) for each in core.arguments),
                    ],
                    **({"envFrom": [{"secretRef": {"name": options.core_secret}}]} if options.core_secret else {}),
                    "ports": [_port(name, port) for name, port in ports.items()],
                    "resources": {"requests": {"cpu": "1"}},
                    "readinessProbe": _get("/ready", ports["query"], scheme) | {"periodSeconds": 2},
                    "livenessProbe": _get("/health", ports["query"], scheme) | {"timeoutSeconds": 10},
                    "volumeMounts": [{"name": "state", "mountPath": _STATE}],
                    "terminationMessagePolicy": _LAST_LINES,
                    "securityContext": _NO_MORE,
                }
            ],
            "volumes": [{"name": "state", **volume}],
        },
    }


def _everywhere(options: KubernetesOptions) -> Document:
    return {
        "terminationGracePeriodSeconds": math.ceil(options.grace_s),
        "automountServiceAccountToken": False,
        # Kubernetes would set a variable of each Service: INFERLINE_PORT of one called inferline, or CLIPPER_PORT.
        "enableServiceLinks": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        **({"imagePullSecrets": [{"name": options.pull_secret}]} if options.pull_secret else {}),
    }


def _model(wanted: ReplicaSet, core: CoreAddress, options: KubernetesOptions) -> Document:
    """Return what is run, what it is told, and how it is looked after: ours, or a Clipper model container."""
    entry = wanted.entry
    named = {
        "CLIPPER_MODEL_NAME": wanted.model,
        "CLIPPER_MODEL_VERSION": wanted.version,
        "CLIPPER_IP": core.host,
        "CLIPPER_PORT": str(core.rpc_port),
    }
    if entry.kind == "container":
        return {
            "image": entry.target,
            "env": _variables({**named, "CLIPPER_INPUT_TYPE": data_type_of(entry.input_type).readable}),
            "ports": [_port("metrics", _METRICS_PORT)],
            **_probes(_CLIPPER_READY_FILE, options, _exists(_CLIPPER_READY_FILE)),
        }
    ours = {
        "INFERLINE_MODEL": json.dumps(entry.document(own_accelerators=accelerators_of(wanted.hardware) > 0)),
        "INFERLINE_FOLDER": options.folder,
        "INFERLINE_THREADS": str(max(1, math.floor(wanted.hardware.cpus))),
        "INFERLINE_READY_FILE": _READY_FILE,
        "INFERLINE_METRICS_HOST": "0.0.0.0",
        "INFERLINE_METRICS_PORT": str(_METRICS_PORT),
    }
    return {
        "image": _image(options, f"stage {wanted.stage!r}"),
        "command": ["inferline-container"],
        "env": _variables(named | ours),
        "securityContext": _NO_MORE,
        "ports": [_port("metrics", _METRICS_PORT)],
        **_probes(_READY_FILE, options, _get("/metrics", _METRICS_PORT)),
    }


def _probes(ready_file: str, options: KubernetesOptions, alive: Document) -> Document:
    """Return when a replica counts as started, as ready, and as hung.

    It is hung when it does not answer for a minute: a batch that holds the interpreter for long is no failure, and
    the serving core has given a silent replica's batch to another one long before.
    """
    limit = {"periodSeconds": 1, "failureThreshold": max(1, math.ceil(options.start_limit_s))}
    return {
        "startupProbe": _exists(ready_file) | limit,
        "readinessProbe": _exists(ready_file) | {"periodSeconds": 2, "failureThreshold": 1},
        "livenessProbe": alive | {"periodSeconds": 20, "timeoutSeconds": 10, "failureThreshold": 3},
    }


def _exists(path: str) -> Document:
    return {"exec": {"command": ["test", "-f", path]}, "timeoutSeconds": 5}


def _get(path: str, port: int, scheme: str = "HTTP") -> Document:
    return {"httpGet": {"path": path, "port": port, "scheme": scheme}}


def _port(name: str, number: int) -> Document:
    return {"name": name, "containerPort": number, "protocol": "TCP"}


def _variables(values: Mapping[str, str]) -> list[Document]:
    return [{"name": name, "value": _literal(value)} for name, value in values.items()]


def _literal(text: str) -> str:
    """Return the text so that Kubernetes leaves it as it is: it would replace ``$(NAME)``."""
    return text.replace("$", "$$")


def _image(options: KubernetesOptions, what: str) -> str:
    if not options.image:
        raise InputError(f"target kubernetes: {what} needs an image that holds InferLine and the models; name one")
    return options.image
