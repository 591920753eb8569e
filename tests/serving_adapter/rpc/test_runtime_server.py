"""A container and a whole server, each in a process of its own, and a client between them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest

LONG_S = 20.0
_SERVE = "from inferline.cli import main; main()"


@pytest.fixture
def ports():
    """Start a server; gives its ports for queries, for administration and for containers."""
    everywhere = [f"--{which}-port=0" for which in ("query", "admin", "rpc")]
    command = [sys.executable, "-c", _SERVE, "serve", "--state", "memory://", *everywhere]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        said = ""
        late = threading.Timer(LONG_S, server.kill)
        late.start()
        for line in server.stderr:
            said += line
            if line.startswith("model containers"):
                break
        late.cancel()
        found = re.search(r"queries http://\S+:(\d+)  admin http://\S+:(\d+)\nmodel containers \S+:(\d+)", said)
        assert found, said
        yield found.groups()
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=LONG_S)


def test_serves_a_whole_server(start, ports, models):
    query, admin, rpc = ports
    with httpx.Client(timeout=LONG_S) as client:

        def ask(path, **document):
            reply = client.post(f"http://127.0.0.1:{admin}/admin/{path}", json=document)
            assert reply.status_code == 200, reply.text
            return reply

        def predict(values):
            answer = client.post(f"http://127.0.0.1:{query}/app/predict", json={"input": values}).json()
            return answer["output"], answer["default"]

        def containers():
            return ask("get_all_containers", verbose=False).json()

        model = '{"callable": "served:total"}'
        first, second = (start("--port", rpc, "--input-type", "d", INFERLINE_MODEL=model) for _ in range(2))
        ask("add_app", name="app", input_type="doubles", default_output="-1.0", latency_slo_micros=10_000_000)
        names = {"model_name": "m", "model_version": "1", "container_name": "c", "model_data_path": "d"}
        ask("add_model", **names, labels=[], input_type="doubles", batch_size=-1)
        ask("add_model_links", app_name="app", model_names=["m"])
        first.until(lambda: len(containers()) == 2)
        assert predict([0.5, 2.0]) == (2.5, False)
        assert first.end() == 0
        second.until(lambda: len(containers()) == 1)  # at once, not after the 30 s of silence
        assert predict([0.5, 3.0]) == (3.5, False)
        assert second.end() == 0
        until = time.monotonic() + LONG_S
        while containers():
            assert time.monotonic() < until, "the server still counts on a container"
        assert predict([0.5, 4.0]) == (-1.0, True)
