"""A lease as a Lease object of Kubernetes, for processes in or beside a cluster."""

from __future__ import annotations

import logging
import socket
from datetime import UTC, datetime
from time import monotonic_ns
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from inferline.units import NANO
from serving_adapter.replicas.kubernetes.resources import Request, Resource, answer

if TYPE_CHECKING:
    from serving_adapter.replicas.kubernetes.connection import Connection

__all__ = ["KubernetesLease"]

LEASES = Resource("coordination.k8s.io", "v1", "leases")

_MARGIN = 0.2
"""Share of the lease's time that its holder does not count on: clocks of two machines run at different rates."""

_WORDS = "inferline.io/holder"
"""Annotation for people."""

_ABSENT, _CONFLICT = 404, 409

_log = logging.getLogger(__name__)


class KubernetesLease:
    """A Lease (``coordination.k8s.io/v1``), taken and renewed as client-go's leader election does.

    Every change names the version of the object that it is based on, so that of two who take it at once one is
    refused. It is free when it has not been renewed for its duration by the clock of whoever looks: clocks of two
    machines are never compared. Its holder counts from before it asked, with a margin.

    Parameters
    ----------
    connection
        The API server; closed with `release`.
    namespace, name
        Of the object.
    duration_s
        How long after its holder's end it is free; whole seconds.
    words
        Kept beside it for those who come second: who has it.
    """

    def __init__(
        self, connection: Connection, namespace: str, name: str, duration_s: int = 15, words: str = ""
    ) -> None:
        self._connection = connection
        self._namespace = namespace
        self._name = name
        self._duration_s = duration_s
        self._holder = f"{socket.gethostname()}_{uuid4().hex}"
        self._words = words
        self._version = ""
        self._seen_ns = 0
        self._other = ""
        self._other_lives = False

    def hold(self) -> int | None:
        """Take it or renew it; return until when it is ours, monotonic nanoseconds. None: it is another's.

        Raises
        ------
        OutsideError
            When the server cannot be reached, or refuses.
        """
        asked_ns = monotonic_ns()
        found = self._ask("get", self._name)
        taken = self._create() if found is None else self._take(found, asked_ns)
        return asked_ns + round(self._duration_s * (1 - _MARGIN) * NANO) if taken else None

    def _create(self) -> bool:
        document = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": self._metadata({"name": self._name, "namespace": self._namespace}),
            "spec": self._spec({}),
        }
        return self._ask("create", "", document) is not None

    def _take(self, found: dict[str, Any], asked_ns: int) -> bool:
        spec, version = found.get("spec") or {}, found["metadata"]["resourceVersion"]
        if version != self._version:
            self._other_lives = bool(self._version)
            self._version, self._seen_ns = version, asked_ns
        holder = spec.get("holderIdentity")
        duration_ns = (spec.get("leaseDurationSeconds") or self._duration_s) * NANO
        if holder and holder != self._holder and asked_ns - self._seen_ns < duration_ns:
            self._other = (found["metadata"].get("annotations") or {}).get(_WORDS) or holder
            return False
        changed = {**found, "metadata": self._metadata(found["metadata"]), "spec": self._spec(spec)}
        return self._ask("update", self._name, changed) is not None

    def _metadata(self, before: dict[str, Any]) -> dict[str, Any]:
        if not self._words:
            return before
        return {**before, "annotations": {**(before.get("annotations") or {}), _WORDS: self._words}}

    def _spec(self, before: dict[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # for people: nobody computes with it
        if before.get("holderIdentity") == self._holder:
            return {**before, "renewTime": now}
        number = (before.get("leaseTransitions") or 0) + (1 if before else 0)
        _log.info("event=lease_wanted name=%s number=%d", self._name, number)
        return {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": self._duration_s,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": number,
        }

    def holder(self) -> str:
        """Return who has it, once it has been seen that they renew it; nothing before, when they may have gone.

        It takes two calls of `hold` at least, one of them after a renewal.
        """
        return self._other if self._other_lives else ""

    def release(self) -> None:
        """Give it back, if it is ours.

        Raises
        ------
        OutsideError
            When the server cannot be reached, or refuses; it ends by itself.
        """
        found = self._ask("get", self._name)
        if found is not None and (found.get("spec") or {}).get("holderIdentity") == self._holder:
            self._ask("update", self._name, {**found, "spec": {**found["spec"], "holderIdentity": ""}})
        self._connection.close()

    def _ask(self, verb: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """Return the object; None when it is not there, or somebody else was faster."""
        request = Request(verb, LEASES, self._namespace, name)
        method = {"get": "GET", "create": "POST", "update": "PUT"}[verb]
        status, said = self._connection.send(method, request, body)
        if (verb, status) in {("get", _ABSENT), ("create", _CONFLICT), ("update", _CONFLICT)}:
            return None
        return dict(answer(self._connection.server, request, status, said))
