"""How the API server is reached: the only module that imports the Kubernetes client.

It knows who we are and whom to trust, from a kubeconfig or from inside a Pod, and keeps connections. Objects go as
documents instead of its classes, which hold one version of Kubernetes and refuse what another leaves out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from inferline.errors import Fault, InputError, OutsideError
from serving_adapter.replicas.kubernetes.documents import Document
from serving_adapter.replicas.kubernetes.resources import Request, Resource, answer, resource_of

__all__ = ["MANAGER", "RETRIES", "TIMEOUT_S", "Connection"]

MANAGER = "inferline"
"""Whose fields they are, to the server."""

TIMEOUT_S = 10.0
"""How long an answer may take."""

RETRIES = 5
"""How often a request is repeated when no connection could be made or the server had too much to do: at once, then
after 0.2, 0.4, 0.8 and 1.6 s. Every request here can be repeated."""

_READ_RETRIES = 2
"""How often when the connection was made, and no answer came."""

_CONNECT_S = 3.0
_BACKOFF_S = 0.1
_OVERLOADED = (429, 502, 503, 504)


class Connection:
    """Requests to one API server.

    Parameters
    ----------
    config
        A kubeconfig; None for the usual one, or, inside a Pod that has none, the Pod's ServiceAccount.
    context
        Which of its contexts; None for the current one.
    timeout_s
        How long an answer may take.

    Raises
    ------
    InputError
        When the client is not installed, or there is no such kubeconfig or context.
    """

    def __init__(
        self, *, config: Path | None = None, context: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        try:
            import urllib3  # noqa: PLC0415 - comes with the client
            from kubernetes import client  # noqa: PLC0415 - optional, and slow to import
        except ImportError as error:
            raise InputError(f"target kubernetes needs {error.name}: pip install 'inferline[kubernetes]'") from error
        configuration = _configuration(config, context)
        configuration.retries = urllib3.Retry(
            total=RETRIES,
            read=_READ_RETRIES,
            backoff_factor=_BACKOFF_S,
            status_forcelist=_OVERLOADED,
            allowed_methods={"GET", "PATCH", "DELETE"},
            respect_retry_after_header=False,  # it may name any time
            raise_on_status=False,
        )
        self._client: Any = client.ApiClient(configuration)
        self._client.user_agent = MANAGER
        self._failures = (urllib3.exceptions.HTTPError, client.ApiException)
        self._timeout_s = timeout_s
        self.server = f"Kubernetes at {configuration.host}"

    def apply(self, document: Document, *, dry_run: bool = False) -> Document:
        """Have an object be as a document says; return it as it is then. Fields that it does not name stay.

        This is server-side apply: what is so already is not changed, and what somebody else has set is taken over.
        """
        metadata = document["metadata"]
        request = Request("patch", resource_of(document), metadata["namespace"], metadata["name"])
        query = {"fieldManager": MANAGER, "force": "true", **({"dryRun": "All"} if dry_run else {})}
        return self._ask("PATCH", request, query, document, "application/apply-patch+yaml")

    def list(self, resource: Resource, namespace: str, selector: str) -> tuple[Document, ...]:
        """Return the objects that have certain labels."""
        request = Request("list", resource, namespace)
        items = self._ask("GET", request, {"labelSelector": selector}).get("items") or ()
        if not all(isinstance(each, dict) and (each.get("metadata") or {}).get("name") for each in items):
            raise OutsideError(f"{self.server}: {request}: what it lists has no names")
        return tuple(items)

    def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete an object, and in a while what it has made; nothing when it is not there."""
        policy = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        request = Request("delete", resource, namespace, name)
        status, body = self._send("DELETE", request, request.path, {}, policy)
        if status != 404:
            answer(self.server, request, status, body)

    def versions(self, group: str) -> frozenset[str]:
        """Return the versions of a group of resources that the server knows; none where it does not say."""
        request = Request("get", Resource("", "", group), "")
        status, body = self._send("GET", request, f"/apis/{group}", {})
        if status in {403, 404}:
            return frozenset()
        said = answer(self.server, request, status, body)
        return frozenset(each.get("version", "") for each in said.get("versions") or ())

    def send(self, method: str, request: Request, body: Document | None = None) -> tuple[int, bytes]:
        """Make a request as it is; return the status and what was answered, whatever that is."""
        return self._send(method, request, request.path, {}, body)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _ask(
        self,
        method: str,
        request: Request,
        query: Mapping[str, str],
        body: Document | None = None,
        content_type: str = "application/json",
    ) -> Document:
        return answer(self.server, request, *self._send(method, request, request.path, query, body, content_type))

    def _send(
        self,
        method: str,
        request: Request,
        path: str,
        query: Mapping[str, str],
        body: Document | None = None,
        content_type: str = "application/json",
    ) -> tuple[int, bytes]:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        order = self._client.param_serialize(
            method, path, None, list(query.items()), headers, body, auth_settings=["BearerToken"]
        )
        try:
            response = self._client.call_api(*order, _request_timeout=(_CONNECT_S, self._timeout_s))
            return response.status, response.read()
        except self._failures as error:
            reason = _last_reason(error)
            raise OutsideError(f"{self.server}: {request}: {reason} (up to {RETRIES + 1} attempts)") from error


def _configuration(config: Path | None, context: str | None) -> Any:  # noqa: ANN401 - of the client
    from kubernetes import client  # noqa: PLC0415 - optional, and slow to import
    from kubernetes import config as package  # noqa: PLC0415

    configs: Any = package  # which has no types
    configuration = client.Configuration()
    usual = configs.KUBE_CONFIG_DEFAULT_LOCATION
    unsaid = config is None and context is None
    there = any(Path(each).expanduser().is_file() for each in usual.split(os.pathsep))
    try:
        if unsaid and not there and "KUBERNETES_SERVICE_HOST" in os.environ:
            configs.load_incluster_config(configuration)
        else:
            configs.load_kube_config(None if config is None else str(config), context, configuration)
    except (configs.ConfigException, OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise InputError(
            Fault(str(config or usual), "", f"{error}; name a kubeconfig and one of its contexts")
        ) from error
    return configuration


def _last_reason(error: BaseException) -> str:
    """Return why the last attempt failed, without the names of the client's objects."""
    return re.sub(r"^<?HTTPS?Connection[^:]*: ", "", str(getattr(error, "reason", None) or error))
