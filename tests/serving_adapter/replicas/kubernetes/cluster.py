"""A real API server on loopback, with etcd behind it and the controllers that make Pods of Deployments."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import yaml

LONG_S = 60.0
"""No test waits for as long unless it fails."""

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
MERGE = "application/merge-patch+json"

_ADMIN = "token-of-the-admin"
_CONTROLLERS = "deployment,replicaset,garbagecollector,disruption,namespace,serviceaccount"


def built() -> Path:
    """Return the folder that build_apiserver.sh fills."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "inferline" / "kubernetes-1.20.2"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(condition, what: str = "it"):
    """Wait until something is so; return what it gave."""
    end = monotonic() + LONG_S
    while not (found := condition()):
        assert monotonic() < end, f"{what} did not happen in {LONG_S:g} s"
        sleep(0.02)  # between two looks
    return found


class Cluster:
    """The processes, and plain requests to the API server, which need none of the code that is tested."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificate = folder / "certificates" / "apiserver.crt"
        self._etcd = f"http://127.0.0.1:{free_port()}"
        self._namespaces = 0
        (folder / "tokens.csv").write_text(f'{_ADMIN},admin,1,"system:masters"\n')
        self._key = folder / "accounts.key"
        subprocess.run(
            ["openssl", "genrsa", "-out", self._key, "2048"], check=True, capture_output=True, timeout=LONG_S
        )

    def start(self) -> None:
        peer = f"http://127.0.0.1:{free_port()}"
        self._run(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={self._etcd}",
            f"--advertise-client-urls={self._etcd}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        )
        self.start_server()
        self.client = httpx.Client(
            base_url=self.url,
            verify=ssl.create_default_context(cafile=str(self.certificate)),
            headers={"Authorization": f"Bearer {_ADMIN}"},
            timeout=LONG_S,
            trust_env=False,
        )
        self._run(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig()}",
            f"--controllers={_CONTROLLERS}",
            "--leader-elect=false",
            "--port=0",
            f"--secure-port={free_port()}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={self.folder / 'controllers'}",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        )

    def start_server(self) -> None:
        """Start the API server, and wait until it answers."""
        self._run(
            "kube-apiserver",
            f"--etcd-servers={self._etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.port}",
            f"--cert-dir={self.certificate.parent}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={self._key}",
            f"--service-account-key-file={self._key}",
        )
        until(self._is_ready, "the API server's start")

    def stop_server(self) -> None:
        """Kill the API server, as a machine that fails does."""
        process = self._running.pop("kube-apiserver")
        process.kill()
        process.wait(LONG_S)

    def close(self) -> None:
        with suppress(AttributeError):
            self.client.close()
        for process in reversed(self._running.values()):
            process.kill()
            process.wait(LONG_S)

    def ask(self, method: str, path: str, body: Any = None, *, kind: str = "application/json", **query: str) -> Any:
        """Return what the server answers to the administrator, who may do everything."""
        content = None if body is None else json.dumps(body)
        answer = self.client.request(method, path, content=content, headers={"Content-Type": kind}, params=query)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code}: {answer.text}"
        return answer.json()

    def namespace(self) -> str:
        """Make a namespace that Pods can be in."""
        self._namespaces += 1
        name = f"test-{self._namespaces}"
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        accounts = f"/api/v1/namespaces/{name}/serviceaccounts"
        until(lambda: self.ask("GET", accounts)["items"], "the default ServiceAccount")
        return name

    def account_token(self, namespace: str, account: str) -> str:
        """Return a token of a ServiceAccount."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600},
        }
        return self.ask("POST", path, asked)["status"]["token"]

    def kubeconfig(self, token: str = _ADMIN, *, url: str | None = None) -> Path:
        """Write a kubeconfig for whoever has a token."""
        path = self.folder / f"kubeconfig-{abs(hash((token, url)))}"
        cluster = {"server": url or self.url, "certificate-authority": str(self.certificate)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        path.write_text(yaml.safe_dump(document))
        return path

    def _run(self, program: str, *arguments: str) -> None:
        with (self.folder / f"{program}.log").open("ab") as log:
            command = [str(self._programs / program), *arguments]
            self._running[program] = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)

    def _is_ready(self) -> bool:
        process = self._running["kube-apiserver"]
        log = (self.folder / "kube-apiserver.log").read_text(errors="replace")
        assert process.poll() is None, f"the API server has ended with {process.returncode}:\n{log[-2000:]}"
        if not self.certificate.is_file():
            return False
        context = ssl.create_default_context(cafile=str(self.certificate))
        with suppress(httpx.TransportError, ssl.SSLError):
            headers = {"Authorization": f"Bearer {_ADMIN}"}
            return httpx.get(f"{self.url}/readyz", headers=headers, verify=context, trust_env=False).text == "ok"
        return False
