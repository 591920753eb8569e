"""A serving core and its replicas, as processes of this machine, and what asks it."""

import http.server
import threading
import time
from contextlib import ExitStack

import httpx
import pytest

from serving_adapter.client import ClipperConnection
from serving_adapter.replicas import CoreOptions
from serving_adapter.replicas.local import LocalTarget

ANY_PORTS = {"query_port": 0, "admin_port": 0, "rpc_port": 0}
LONG_S = 20.0
"""No test waits for as long unless it fails."""


class Cluster:
    """A connection, with queries beside it."""

    def __init__(self, connection: ClipperConnection, target: LocalTarget, query: httpx.Client) -> None:
        self.connection = connection
        self.target = target
        self.query = query

    def predict(self, app, **document):
        """Return the reply to a query."""
        reply = self.query.post(f"/{app}/predict", json=document)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def output(self, app, value, **more):
        """Return the output of a query, which is no default."""
        reply = self.predict(app, input=value, **more)
        assert not reply["default"], reply
        return reply["output"]

    def replicas(self, name):
        """Return what registered replicas there are of a model, by version."""
        models = [each.split(":") for each in self.connection.get_all_model_replicas()]
        return sorted(version for model, version, _ in models if model == name)


def until(condition, seconds=LONG_S):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def eventually():
    """Return what waits until something is so; nothing else is waited for in these tests."""
    return until


@pytest.fixture(scope="module")
def start_cluster(tmp_path_factory):
    """Return what starts a serving core; all is stopped in the end."""
    with ExitStack() as everything:

        def start(*arguments, token=None, **options) -> Cluster:
            folder = tmp_path_factory.mktemp("home")
            target = LocalTarget(folder / "target")
            connection = ClipperConnection(target, folder=folder / "models", token=token, **options)

            def stop():
                connection.stop_all()
                until(lambda: not target.list(connection.cluster_name))

            everything.callback(stop)
            connection.start(CoreOptions(**ANY_PORTS, arguments=arguments))
            query = httpx.Client(base_url=f"http://{connection.get_query_addr()}", timeout=LONG_S)
            return Cluster(connection, target, everything.enter_context(query))

        yield start


@pytest.fixture(scope="module")
def cluster(start_cluster) -> Cluster:
    """Return a serving core for all tests of a module; each takes names of its own."""
    return start_cluster()


@pytest.fixture
def answering():
    """Return what starts an HTTP server that answers every request alike; its URL."""
    with ExitStack() as everything:

        def start(status: int, body: bytes) -> str:
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    self.rfile.read(int(self.headers.get("content-length", 0)))
                    self.send_response(status)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                do_POST = do_GET  # noqa: N815 - as http.server calls it

                def log_message(self, *arguments):
                    pass

            server = everything.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            everything.callback(thread.join)
            everything.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start
