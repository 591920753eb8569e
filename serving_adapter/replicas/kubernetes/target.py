"""The target: sets of replicas and serving cores as objects of one namespace."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from inferline.errors import OutsideError
from serving_adapter.replicas.kubernetes.connection import Connection
from serving_adapter.replicas.kubernetes.documents import CORE, REPLICA, selector
from serving_adapter.replicas.kubernetes.manifests import BUDGETS, core_address, core_manifests, replica_manifests
from serving_adapter.replicas.kubernetes.names import set_name
from serving_adapter.replicas.kubernetes.options import KubernetesOptions
from serving_adapter.replicas.kubernetes.reading import (
    read_missing,
    read_pod,
    read_refusal,
    read_requested,
    read_trouble,
)
from serving_adapter.replicas.kubernetes.resources import DEPLOYMENTS, MADE, PODS, SERVICES, Resource
from serving_adapter.replicas.protocol import CoreAddress, CoreOptions, Replica, ReplicaSet, SetKey

__all__ = ["KubernetesTarget"]


class KubernetesTarget:
    """A `serving_adapter.replicas.Target` in a Kubernetes cluster.

    Each set of replicas is a Deployment, which starts replicas again and, of those that are too many, takes the ones
    that are not ready and then the newest. Everything is made by server-side apply with the field manager
    ``inferline``: what is so already does not change, and whatever else is set on an object stays. Nothing is kept
    here, so that any number of processes may use one namespace.

    Parameters
    ----------
    options
        How replicas and the core become Pods.
    config, context
        A kubeconfig and its context; None for the usual one and the current one. Inside a Pod without a kubeconfig,
        the Pod's ServiceAccount.

    Raises
    ------
    InputError
        When the client is not installed, or there is no such kubeconfig or context.
    """

    def __init__(self, options: KubernetesOptions, *, config: Path | None = None, context: str | None = None) -> None:
        self._options = options
        self._connection = Connection(config=config, context=context)

    def start_core(self, deployment: str, options: CoreOptions) -> CoreAddress:
        """Have a serving core run for a deployment, behind a Service; changes nothing when it runs already.

        The address is that of the Service: Pods reach it, and others by ``kubectl port-forward``. The host in the
        options means nothing here.

        Raises
        ------
        InputError
            When no image is named.
        OutsideError
            When the server cannot be reached, or refuses.
        """
        there = self.core(deployment)
        if there is not None:
            return there
        for each in core_manifests(deployment, options, self._options):
            self._connection.apply(each)
        return core_address(deployment, options, self._options)

    def core(self, deployment: str) -> CoreAddress | None:
        """Return the address of the Service of a deployment's serving core; None when there is none.

        Raises
        ------
        OutsideError
            When the server cannot be reached, or refuses, or the Service is not as it was made.
        """
        found = selector(deployment, CORE)
        namespace = self._options.namespace
        services = self._connection.list(SERVICES, namespace, found)
        if not services or not self._connection.list(DEPLOYMENTS, namespace, found):
            return None
        ports = {each.get("name"): each["port"] for each in services[0]["spec"].get("ports") or ()}
        if missing := [name for name in ("query", "admin", "rpc") if name not in ports]:
            raise OutsideError(
                f"Service {services[0]['metadata']['name']!r} in namespace {namespace!r} has no port named "
                f"{missing[0]!r} any more: put it back, or delete the Service and its Deployment"
            )
        host = core_address(deployment, CoreOptions(), self._options).host
        return CoreAddress(host=host, query_port=ports["query"], admin_port=ports["admin"], rpc_port=ports["rpc"])

    def core_trouble(self, deployment: str) -> str:
        """Return what the serving core's Pod, or its Deployment without one, says of not running; see `Target`.

        Raises
        ------
        OutsideError
            When the server cannot be reached, or refuses.
        """
        of = (self._options.namespace, selector(deployment, CORE))
        pods = [read_trouble(each) for each in self._connection.list(PODS, *of)]
        refused = [read_refusal(each) for each in self._connection.list(DEPLOYMENTS, *of)]
        return "; ".join(dict.fromkeys(each for each in (*pods, *refused) if each))

    def start(self, wanted: ReplicaSet, core: CoreAddress) -> None:
        """Have exactly so many such replicas, and keep them running.

        Raises
        ------
        InputError
            When an option is missing that this set needs.
        OutsideError
            When the server cannot be reached, or refuses.
        """
        for each in replica_manifests(wanted, core, self._options, budgets=f"policy/{self._budgets.version}"):
            self._connection.apply(each)

    def stop(self, deployment: str, key: SetKey | None = None) -> None:
        """Stop a set, or all of a deployment with its core, and forget it; nothing when it is not there.

        Raises
        ------
        OutsideError
            When the server cannot be reached, or refuses.
        """
        namespace = self._options.namespace
        if key is not None:
            for resource in (DEPLOYMENTS, self._budgets):
                self._connection.delete(resource, namespace, set_name(deployment, key))
            return
        for resource in (*MADE, self._budgets):
            for each in self._connection.list(resource, namespace, selector(deployment)):
                self._connection.delete(resource, namespace, each["metadata"]["name"])

    def list(self, deployment: str) -> tuple[Replica, ...]:
        """Return the replicas that there are, whatever their phase; see `read_missing` for those that are not.

        Raises
        ------
        OutsideError
            When the server cannot be reached, or refuses.
        """
        of = (self._options.namespace, selector(deployment, REPLICA))
        pods = [read_pod(each) for each in self._connection.list(PODS, *of)]
        missing = [read_missing(each) for each in self._connection.list(DEPLOYMENTS, *of)]
        return (*pods, *(each for each in missing if each is not None))

    def requested(self, deployment: str) -> Mapping[SetKey, int]:
        """Return how many replicas each Deployment asks for: also when ``kubectl scale`` has set it.

        Raises
        ------
        OutsideError
            When the server cannot be reached, or refuses.
        """
        found = self._connection.list(DEPLOYMENTS, self._options.namespace, selector(deployment, REPLICA))
        return dict(map(read_requested, found))

    def close(self) -> None:
        """Let go of connections; what runs goes on."""
        self._connection.close()

    @cached_property
    def _budgets(self) -> Resource:
        version = BUDGETS.rpartition("/")[2]
        known = self._connection.versions("policy")
        return Resource("policy", version if version in known or not known else "v1beta1", "poddisruptionbudgets")
