"""What whoever uses the target may have to do in its namespace, and nothing else."""

from __future__ import annotations

from serving_adapter.replicas.kubernetes.documents import Document

__all__ = ["DEPLOYER", "TUNER", "TUNER_MAY", "role_manifests"]

TUNER = "inferline-tuner"
DEPLOYER = "inferline-deployer"

_CHANGE = ("create", "delete", "list", "patch")
_HOLD = ("create", "get", "update")

_TUNER = (
    ("", "pods", ("list",)),
    ("", "services", ("list",)),
    ("apps", "deployments", ("list", "patch")),
    ("policy", "poddisruptionbudgets", ("patch",)),
    ("coordination.k8s.io", "leases", _HOLD),
)
_DEPLOYER = (
    ("", "pods", ("list",)),
    ("", "services", _CHANGE),
    ("apps", "deployments", _CHANGE),
    ("policy", "poddisruptionbudgets", _CHANGE),
    ("networking.k8s.io", "networkpolicies", _CHANGE),
    ("coordination.k8s.io", "leases", _HOLD),
)
"""Group, resource, verbs."""

TUNER_MAY = frozenset((verb, resource) for _, resource, verbs in _TUNER for verb in verbs)
"""What the tuner's Role allows."""

_RBAC = "rbac.authorization.k8s.io"


def role_manifests(namespace: str) -> list[Document]:
    """Return a ServiceAccount for a tuner in the cluster, bound to its Role, and the Role of who deploys.

    The tuner looks at Pods, finds the core, and changes Deployments that there are. Making and deleting them takes
    the other Role.
    """

    def metadata(name: str) -> Document:
        return {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": "inferline"}}

    def role(name: str, rules: tuple[tuple[str, str, tuple[str, ...]], ...]) -> Document:
        allowed = [{"apiGroups": [group], "resources": [each], "verbs": list(verbs)} for group, each, verbs in rules]
        return {"apiVersion": f"{_RBAC}/v1", "kind": "Role", "metadata": metadata(name), "rules": allowed}

    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(TUNER)},
        role(TUNER, _TUNER),
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": metadata(TUNER),
            "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": TUNER},
            "subjects": [{"kind": "ServiceAccount", "name": TUNER, "namespace": namespace}],
        },
        role(DEPLOYER, _DEPLOYER),
    ]
