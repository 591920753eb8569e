"""A real server on free ports in a thread, real model containers beside it, and clients that speak plain HTTP."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import httpx
import pytest

from serving_adapter.frontend.server import ServeOptions, Server
from serving_adapter.rpc.container import Container


@dataclass
class Running:
    """A server in a thread, with clients for its two interfaces."""

    server: Server
    loop: asyncio.AbstractEventLoop
    query: httpx.Client
    admin: httpx.Client
    stack: ExitStack

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

    def model(self, name="m", version="1", input_type="doubles", batch_size=8):
        reply = self.ask(
            "add_model",
            model_name=name,
            model_version=version,
            labels=[],
            input_type=input_type,
            container_name="image",
            model_data_path="DEPRECATED",
            batch_size=batch_size,
        )
        assert reply.status_code == 200, reply.text

    def link(self, app="app", *models):
        reply = self.ask("add_model_links", app_name=app, model_names=list(models or ("m",)))
        assert reply.status_code == 200, reply.text

    def container(self, function, name="m", version="1", input_type="doubles"):
        """Start a model container in a thread, and wait until it is registered."""
        before = len(self.containers())
        model = Function(function)
        container = Container(
            model=model,
            name=name,
            version=version,
            input_type=input_type,
            address=f"tcp://127.0.0.1:{self.server.rpc_port}",
            poll_s=0.02,
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

    @staticmethod
    def until(condition: Callable[[], object], seconds=10.0):
        """Wait until something is so; nothing else is waited for in these tests."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.005)


@dataclass
class Function:
    """A function of a batch as a model; keeps the batches it saw."""

    function: Callable
    batches: list = field(default_factory=list)

    def predict(self, inputs):
        self.batches.append(list(inputs))
        return self.function(inputs)


@pytest.fixture
def serve():
    """Return what starts a server; options as in `ServeOptions`."""
    with ExitStack() as everything:

        def start(**options) -> Running:
            ports = {"query_port": 0, "admin_port": 0, "rpc_port": 0}
            asked = replace(ServeOptions(drain_s=5.0), **{**ports, **options})
            loop = asyncio.new_event_loop()
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
            scheme = "http" if asked.certificate is None else "https"
            clients = [
                stack.enter_context(httpx.Client(base_url=f"{scheme}://127.0.0.1:{port}", timeout=20, verify=False))
                for port in (server.query_port, server.admin_port)
            ]
            return Running(server, loop, *clients, stack)

        yield start


@pytest.fixture
def server(serve) -> Running:
    """Return a server with nothing registered."""
    return serve()
