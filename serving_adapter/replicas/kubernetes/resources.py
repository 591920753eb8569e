"""Which requests there are, and how one is told of in words. Nothing here talks to the server."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from inferline.errors import OutsideError
from serving_adapter.replicas.kubernetes.documents import Document
from serving_adapter.replicas.kubernetes.roles import DEPLOYER, TUNER, TUNER_MAY

__all__ = ["DEPLOYMENTS", "MADE", "PODS", "SERVICES", "Request", "Resource", "answer", "resource_of"]


class Resource(NamedTuple):
    """A kind of object, as it is written in paths and in Roles."""

    group: str
    version: str
    plural: str

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


DEPLOYMENTS = Resource("apps", "v1", "deployments")
PODS = Resource("", "v1", "pods")
SERVICES = Resource("", "v1", "services")

_BY_KIND = {
    "Deployment": "deployments",
    "NetworkPolicy": "networkpolicies",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
}

MADE = (DEPLOYMENTS, SERVICES, Resource("networking.k8s.io", "v1", "networkpolicies"))
"""What a deployment is made of, beside its PodDisruptionBudgets, whose version depends on the server."""


class Request(NamedTuple):
    """One request, in the words of a Role: list, patch or delete."""

    verb: str
    resource: Resource
    namespace: str
    name: str = ""

    def __str__(self) -> str:
        which = f" {self.name!r}" if self.name else ""
        where = f" in namespace {self.namespace!r}" if self.namespace else ""
        return f"{self.verb} {self.resource}{which}{where}"

    @property
    def path(self) -> str:
        """Where it goes."""
        group, version, plural = self.resource
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        return f"{root}/namespaces/{self.namespace}/{plural}" + (f"/{self.name}" if self.name else "")


def resource_of(document: Document) -> Resource:
    """Return the kind of a document."""
    group, _, version = document["apiVersion"].rpartition("/")
    return Resource(group, version, _BY_KIND[document["kind"]])


def answer(server: str, request: Request, status: int, body: bytes) -> Document:
    """Return what the server has answered.

    Raises
    ------
    OutsideError
        When it refuses, or it answers what it should not.
    """
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if not isinstance(said, dict) or "kind" not in said:
        begins = body[:100].decode(errors="replace").strip()
        raise OutsideError(f"{server}: {request}: status {status}, and no answer of Kubernetes: {begins!r}")
    if status < 300:
        return said
    raise OutsideError(f"{server}: {request}: {_why(request, status, said)}")


def _why(request: Request, status: int, said: Mapping[str, Any]) -> str:
    message = str(said.get("message") or said.get("reason") or f"status {status}")
    if status == 401:
        return "it does not know who asks (401): log in again, or name another context"
    if status == 403 and (missing := _missing_right(request, message)) is not None:
        user, verb = missing
        rule = f"apiGroups [{request.resource.group!r}], resources [{request.resource.plural!r}], verbs [{verb!r}]"
        may = f"no Role lets {user} {verb} {request.resource} in namespace {request.namespace!r}"
        role = TUNER if (verb, request.resource.plural) in TUNER_MAY else DEPLOYER
        return f"{may} (403); bind the Role {role!r}, or one with {rule}"
    if status == 404 and f'namespaces "{request.namespace}" not found' in message:
        return f"there is no such namespace; make it with: kubectl create namespace {request.namespace}"
    return f"{message} ({status})"


def _missing_right(request: Request, message: str) -> tuple[str, str] | None:
    """Return who may not do what; None when it is refused for another reason, as a quota."""
    found = re.search(r'User ("[^"]*") cannot ([a-z]+) ', message)
    if found is not None:
        return found[1].replace('"', "'"), found[2]
    # Whoever may patch, but not make what is not there yet, is told nothing else.
    if request.verb == "patch" and re.search(r" is forbidden:\s*(RBAC:.*)?$", message):
        return "this user", "create"
    return None
