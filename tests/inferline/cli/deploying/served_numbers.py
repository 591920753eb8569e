"""A pipeline of two stages that can be deployed, and what is seen of it: its processes, and what it answers."""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx

PIPELINE = """\
version: 1
name: numbers
slo: {latency: 100ms, percentile: 99}
profiles: profiles.csv
hardware:
  cpu:  {price: $0.05/h}
  fast: {price: $0.10/h, limit: 2}
stages:
  double: {model: doubler}
  add: {model: adder, after: [double]}
models:
  doubler: {callable: "served:double", sample: inputs.jsonl}
  adder: {callable: "served:add"}
workload:
  generate: {arrivals: even, rate: 1, duration: 10s}
"""

MODELS = """\
import time
from pathlib import Path

HERE = Path(__file__).parent

def double(inputs):
    return [2 * each for each in inputs]

def add(inputs):
    return [each + 1 for each in inputs]

def add_ten(inputs):
    return [each + 10 for each in inputs]

class AddOnceTold:
    def __init__(self):
        (HERE / "loading").touch()
        while not (HERE / "go").exists():
            time.sleep(0.01)

    def __call__(self, inputs):
        return [each + 100 for each in inputs]
"""

COMMAND = [sys.executable, "-u", "-c", "from inferline.cli import main; main()"]
FREE = ("--query-port", "0", "--admin-port", "0", "--rpc-port", "0")
PIPELINE_OPTION = ("--pipeline", "pipeline.yaml")


def write(folder, name="plan.json", *, double=("cpu", 1, 1), add=("cpu", 1, 1), **more):
    """Write a plan by hand from (hardware, replicas, maximum batch size) of both stages."""
    stages = {
        stage: {"model": model, "hardware": of[0], "replicas": of[1], "max_batch": of[2]}
        for stage, model, of in (("double", "doubler", double), ("add", "adder", add))
    }
    (folder / name).write_text(json.dumps({"version": 1, "stages": stages, **more}))
    return name


def processes(home):
    """Return the processes of deployments that are kept there: what each is called, by number."""
    found = {}
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            texts = (each / "environ").read_bytes().decode(errors="replace").split("\0")
            variables = dict(text.partition("=")[::2] for text in texts)
            if variables.get("INFERLINE_DEPLOYMENT_FOLDER", "").startswith(str(home)):
                found[int(each.name)] = Path(variables.get("INFERLINE_READY_FILE", "core")).name
    return found


def until(condition, seconds=30.0):
    """Wait until something is so, and return what; nothing else is waited for in these tests."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return result


def ask(told, number):
    return httpx.post(told["predict_url"], json={"input": number}, timeout=20).json()["output"]


class Queries:
    """Queries, one after the other, until they are ended; each is (input, reply)."""

    def __init__(self, url):
        self.replies = []
        self._url = url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self):
        with httpx.Client(timeout=20) as client:
            number = 0
            while not self._ended.is_set():
                reply = client.post(self._url, json={"input": number})
                self.replies.append((number, reply.status_code, reply.json()))
                number += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._ended.set()
        self._thread.join(30)

    def outputs(self):
        """Return what was added to each double, in order; a query that was lost is named."""
        lost = [each for each in self.replies if each[1] != 200 or each[2]["default"]]
        assert lost == []
        return [reply["output"] - 2 * number for number, _, reply in self.replies]


def status(run, told, *options):
    server = told["admin_url"].removeprefix("http://")
    port = told["query_url"].rpartition(":")[2]
    arguments = ("--server", server, "--query-port", port, "--target", "local", "--over", "0.2s", "--format", "json")
    ended = run("status", "numbers", *arguments, *options)
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)["pipelines"][0]


def requested(seen, stage):
    return {(each["version"], each["hardware"]): each["requested"] for each in seen["stages"][stage]["sets"]}
