"""A real server on free ports in a thread, real model containers beside it, and clients that speak plain HTTP."""

import asyncio
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import httpx
import pytest
import uvloop

from serving_adapter.frontend.server import ServeOptions, Server
from serving_adapter.rpc.container import Container
from tests.serving_adapter.frontend.raw_container import Raw


@dataclass
class Running:
    """A server, with clients for its two interfaces."""

    query: httpx.Client
    admin: httpx.Client
    rpc_port: int
    stack: ExitStack
    server: Server | None = None
    loop: asyncio.AbstractEventLoop | None = None
    process: subprocess.Popen | None = None

    def ask(self, path, **document):
        """POST to the administration interface."""
        return self.admin.post(f"/admin/{path}", json=document)

    def predict(self, app, **document):
        return self.query.post(f"/{app}/predict", json=document)

    def application(self, name="app", input_type="doubles", default="-1.0", slo_micros=5_000_000, **more):
        reply = self.ask(
            "add_app", name=name, input_type=input_type, default_output=default, latency_slo_micros=slo_micros, **more
        )
        assert reply.status_code == 200, reply.text

    def model(self, name="m", version="1", input_type="doubles", batch_size=8, **more):
        reply = self.ask(
            "add_model",
            model_name=name,
            model_version=version,
            labels=[],
            input_type=input_type,
            container_name="image",
            model_data_path="DEPRECATED",
            batch_size=batch_size,
            **more,
        )
        assert reply.status_code == 200, reply.text

    def link(self, app="app", *models):
        reply = self.ask("add_model_links", app_name=app, model_names=list(models or ("m",)))
        assert reply.status_code == 200, reply.text

    def container(self, function, name="m", version="1", input_type="doubles", **options):
        """Start a model container in a thread, and wait until it is registered."""
        before = len(self.containers())
        address = f"tcp://127.0.0.1:{self.rpc_port}"
        container = Container(
            model=Function(function),
            name=name,
            version=version,
            input_type=input_type,
            address=address,
            poll_s=0.02,
            **options,
        )
        thread = threading.Thread(target=container.serve, daemon=True)
        thread.start()

        def end():
            container.stop.set()
            thread.join(5)

        self.stack.callback(end)
        self.until(lambda: len(self.containers()) > before)
        return end

    def containers(self):
        return self.ask("get_all_containers", verbose=False).json()

    def wire(self, port=None):
        """Return a connection to the query interface, or to another port; it is closed in the end."""
        made = Wire(port or self.query.base_url.port)
        self.stack.callback(made.close)
        return made

    @staticmethod
    def until(condition: Callable[[], object], seconds=10.0):
        """Wait until something is so; nothing else is waited for in these tests."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.005)


class Wire:
    """A connection on which bytes are sent, and replies are read one by one."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.left = b""

    def send(self, *data):
        self.socket.sendall(b"".join(data))

    def post(self, path, body, *headers):
        lines = [b"POST " + path.encode() + b" HTTP/1.1", b"host: x", b"content-length: %d" % len(body), *headers]
        self.send(b"\r\n".join(lines), b"\r\n\r\n", body)

    def reply(self, *, body=True):
        """Return status, headers and body of the next reply."""
        while b"\r\n\r\n" not in self.left:
            self._more()
        head, _, self.left = self.left.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        length = int(headers.get("content-length", 0)) if body else 0
        while len(self.left) < length:
            self._more()
        content, self.left = self.left[:length], self.left[length:]
        return int(status.split()[1]), headers, content

    def is_closed(self, seconds=10.0):
        """Whether the server ends the connection, with nothing more said, within that time."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def close(self):
        self.socket.close()

    def _more(self):
        data = self.socket.recv(65536)
        assert data, "the connection ended before the reply did"
        self.left += data


@dataclass
class Function:
    """A function of a batch as a model; keeps the batches it saw."""

    function: Callable
    batches: list = field(default_factory=list)

    def predict(self, inputs):
        self.batches.append(list(inputs))
        return self.function(inputs)


def clients(stack, urls):
    return [stack.enter_context(httpx.Client(base_url=url, timeout=20, verify=False)) for url in urls]


@pytest.fixture
def serve_process(tmp_path):
    """Return what starts a server as a process of its own, as users do; arguments as of ``inferline serve``."""
    with ExitStack() as everything:

        def start(*arguments) -> Running:
            stack = ExitStack()
            everything.callback(stack.close)
            ports = [part for kind in ("query", "admin", "rpc") for part in (f"--{kind}-port", "0")]
            command = [sys.executable, "-c", "from inferline.cli import main; main()", "serve", *ports, *arguments]
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
            stack.callback(process.communicate)
            stack.callback(process.kill)
            said = ""
            while "model containers" not in said:
                line = process.stderr.readline()
                assert line, f"it ended: {said}"
                said += line
            query, admin, rpc = (int(port) for port in re.findall(r"//127.0.0.1:(\d+)", said)[-3:])
            drain = threading.Thread(target=process.stderr.read)  # so that it never waits for somebody to read
            stack.callback(drain.join)
            stack.callback(process.kill)
            drain.start()
            urls = [f"http://127.0.0.1:{port}" for port in (query, admin)]
            return Running(*clients(stack, urls), rpc, stack, process=process)

        yield start


@contextmanager
def starting():
    with ExitStack() as everything:

        def start(**options) -> Running:
            ports = {"query_port": 0, "admin_port": 0, "rpc_port": 0}
            asked = replace(ServeOptions(drain_s=5.0), **{**ports, **options})
            loop = uvloop.new_event_loop()  # as `inferline serve` takes
            thread = threading.Thread(target=loop.run_forever, daemon=True)
            thread.start()

            async def begin():
                server = Server(asked)
                await server.start()
                return server

            server = asyncio.run_coroutine_threadsafe(begin(), loop).result(20)
            stack = ExitStack()

            def end():
                stack.close()
                asyncio.run_coroutine_threadsafe(server.stop(), loop).result(20)
                loop.call_soon_threadsafe(loop.stop)
                thread.join(10)
                loop.close()

            everything.callback(end)
            scheme = "http" if asked.tls is None else "https"
            urls = [f"{scheme}://127.0.0.1:{port}" for port in (server.query_port, server.admin_port)]
            return Running(*clients(stack, urls), server.rpc_port, stack, server=server, loop=loop)

        yield start


@pytest.fixture
def serve():
    """Return what starts a server; options as in `ServeOptions`."""
    with starting() as start:
        yield start


@pytest.fixture(scope="module")
def serve_module():
    """Return what starts a server for all tests of a module."""
    with starting() as start:
        yield start


@pytest.fixture
def server(serve) -> Running:
    """Return a server with nothing registered."""
    return serve()


@pytest.fixture
def raw():
    """Return what makes raw containers, all closed in the end."""
    made = []

    def make(server, identity=None):
        made.append(Raw(server.rpc_port, identity))
        return made[-1]

    yield make
    for each in made:
        each.close()
