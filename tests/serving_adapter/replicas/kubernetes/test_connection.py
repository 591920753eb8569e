"""Connections that are refused, lost, slow or lead elsewhere; and where the kubeconfig is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic

import pytest
import yaml

from inferline.errors import InputError, OutsideError
from serving_adapter.replicas.kubernetes import KubernetesOptions, KubernetesTarget
from serving_adapter.replicas.kubernetes.connection import Connection
from serving_adapter.replicas.kubernetes.resources import PODS
from tests.serving_adapter.replicas.kubernetes.cluster import free_port

OBJECT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}}


class Script(ThreadingHTTPServer):
    """Answers each request by the next line of a script: a status, a text, or None to hang up."""

    daemon_threads = True

    def __init__(self, *lines: object) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lines = list(lines)
        self.asked: list[tuple[str, str, object]] = []
        self.released = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server = self.server
        server.asked.append((self.command, self.path, json.loads(body) if body else None))
        line = server.lines.pop(0) if server.lines else 200
        if line is None:
            self.close_connection = True
            return
        if line == "wait":
            server.released.wait(20)
            self.close_connection = True
            return
        status, said = (line, json.dumps({"kind": "Any", "items": []})) if isinstance(line, int) else (200, line)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.send_header("Retry-After", "3600")
        self.end_headers()
        self.wfile.write(said.encode())

    do_GET = do_PATCH = do_DELETE = _answer  # noqa: N815 - the names that the class asks for

    def log_message(self, *parts: object) -> None:
        """Print nothing."""


@pytest.fixture
def scripted() -> Iterator:
    servers = []

    def start(*lines: object) -> Script:
        server = Script(*lines)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    yield start
    for server in servers:
        server.released.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def connect(tmp_path) -> Iterator:
    opened = []

    def make(port: int, **options: object) -> Connection:
        path = tmp_path / f"kubeconfig-{port}"
        path.write_text(yaml.safe_dump(kubeconfig(port)))
        opened.append(Connection(config=path, **options))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def kubeconfig(port: int) -> dict:
    return {
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    }


def test_a_lost_connection_is_tried_again(scripted, connect):
    server = scripted(None, 503, 429, 200)
    connect(server.server_port).apply(OBJECT)
    path = "/apis/apps/v1/namespaces/n/deployments/d?fieldManager=inferline&force=true"
    assert server.asked == [("PATCH", path, OBJECT)] * 4


def test_a_deletion_that_took_place_before_the_answer_was_lost_is_done(scripted, connect):
    server = scripted(None, 404)
    connect(server.server_port).delete(PODS, "n", "p")
    assert [each[0] for each in server.asked] == ["DELETE", "DELETE"]


def test_what_was_tried_is_said_when_nobody_listens(connect):
    port = free_port()
    begun = monotonic()
    with pytest.raises(OutsideError) as caught:
        connect(port).list(PODS, "n", "a=b")
    assert str(caught.value).startswith(f"Kubernetes at http://127.0.0.1:{port}: list pods in namespace 'n': ")
    assert "Connection refused" in str(caught.value)
    assert str(caught.value).endswith(" (up to 6 attempts)")
    assert 3.0 <= monotonic() - begun < 10.0  # 0 + 0.2 + 0.4 + 0.8 + 1.6 s, and no more


def test_a_server_that_hangs_up_always(scripted, connect):
    server = scripted(*[None] * 20)
    with pytest.raises(OutsideError, match=r"list pods in namespace 'n': .*[Cc]onnection"):
        connect(server.server_port).list(PODS, "n", "")
    assert len(server.asked) == 3


def test_a_server_that_is_silent(scripted, connect):
    server = scripted(*["wait"] * 20)
    with pytest.raises(OutsideError, match="Read timed out"):
        connect(server.server_port, timeout_s=0.05).list(PODS, "n", "")
    assert len(server.asked) == 3


def test_a_server_that_stays_overloaded_says_so(scripted, connect):
    server = scripted(*[503] * 20)
    with pytest.raises(OutsideError, match=r"list pods in namespace 'n': .*503"):
        connect(server.server_port).list(PODS, "n", "")
    assert len(server.asked) == 6


def test_what_is_no_api_server_is_shown(scripted, connect):
    server = scripted("<html>It works!</html>")
    with pytest.raises(OutsideError, match="no answer of Kubernetes: '<html>It works!</html>'"):
        connect(server.server_port).list(PODS, "n", "")


@pytest.mark.parametrize("items", ["[{}]", "[7]", '[{"metadata": null}]'])
def test_a_list_of_nothing_in_particular_is_refused(scripted, connect, items):
    server = scripted(f'{{"kind": "PodList", "items": {items}}}')
    with pytest.raises(OutsideError, match="list pods in namespace 'n': what it lists has no names"):
        connect(server.server_port).list(PODS, "n", "")


def test_a_server_without_discovery_is_taken_for_a_new_one(scripted, connect):
    server = scripted(403)
    assert connect(server.server_port).versions("policy") == frozenset()


@pytest.mark.parametrize(
    ("content", "context", "said"),
    [
        (None, None, "Invalid kube-config file"),
        ("{]", None, "name a kubeconfig"),
        ("", None, "is empty"),
        (yaml.safe_dump(kubeconfig(1)), "elsewhere", "elsewhere"),
    ],
)
def test_a_kubeconfig_that_does_not_do(tmp_path, content, context, said):
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        KubernetesTarget(KubernetesOptions(), config=path, context=context)
    assert caught.value.faults[0].file == str(path)


def run(tmp_path, code, **environment):
    """Run a few lines where there is no kubeconfig; return what they print."""
    lines = [
        "import sys",
        "from serving_adapter.replicas.kubernetes import KubernetesOptions, KubernetesTarget",
        "assert not [each for each in sys.modules if each.partition('.')[0] == 'kubernetes']",
        *code,
        "try:",
        "    KubernetesTarget(KubernetesOptions())",
        "except Exception as error:",
        "    print(type(error).__name__, error)",
    ]
    told = {name: text for name, text in os.environ.items() if name != "KUBECONFIG"} | {"HOME": str(tmp_path)}
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, env=told | environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_inside_a_pod_its_service_account_is_taken(tmp_path):
    inside = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    assert "Service token file does not exist" in run(tmp_path, (), **inside)
    assert "Invalid kube-config file" in run(tmp_path, ())


def test_without_the_client_there_is_a_word_about_it(tmp_path):
    said = run(tmp_path, ("sys.modules['kubernetes'] = None",))
    assert said == "InputError target kubernetes needs kubernetes: pip install 'inferline[kubernetes]'\n"
