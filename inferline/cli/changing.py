"""Being the only one who changes a deployment."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime

from inferline.cli.targets import Place, kubernetes_options
from serving_adapter.leases import FileLease, KubernetesLease, Lease, holding
from serving_adapter.replicas.local.folders import file_name, home

__all__ = ["changing"]


def changing(place: Place, pipeline: str, command: str) -> AbstractContextManager[Callable[[], None]]:
    """Be the only one who changes a pipeline's deployment at a target, while a block runs.

    Processes of one user on one machine exclude each other by a lock on a file, which the kernel gives back however
    they end. In Kubernetes it is a Lease object beside the deployment, free 15 s after its holder's end.

    Parameters
    ----------
    place
        The target and its options.
    pipeline
        The pipeline's name.
    command
        Who we are, for those who come second: ``inferline deploy plan.json``. No secrets.

    Returns
    -------
        A context manager; what it gives raises OutsideError when others may change the deployment, as after this
        process was suspended for long: to be called before every change. Entering raises OutsideError, with whoever
        changes it, when somebody does.
    """
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    words = f"{command} (process {os.getpid()} on {socket.gethostname()}, since {since})"
    return holding(_lease(place, pipeline, words), f"pipeline {pipeline!r} at target {place.target}")


def _lease(place: Place, pipeline: str, words: str) -> Lease:
    if place.target != "kubernetes":
        # Whatever the engine: one engine has more than one URL.
        return FileLease(home(os.environ) / f"{file_name(pipeline)}.{place.target}.changing", words)
    from serving_adapter.replicas.kubernetes.connection import Connection  # noqa: PLC0415 - only when chosen
    from serving_adapter.replicas.kubernetes.names import core_name  # noqa: PLC0415

    namespace = kubernetes_options(place).namespace
    name = f"{core_name(pipeline)}-changing"
    return KubernetesLease(Connection(context=place.context), namespace, name, words=words)
