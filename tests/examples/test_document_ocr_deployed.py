"""The document pipeline deployed on this machine, reading real pages, while it moves to another plan."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from difflib import SequenceMatcher

import httpx
import pytest

PAGES = 8
"""One of every kind: letters and invoices, upright and turned either way."""

MODELS = {"detect": "pp-ocrv4-det", "orient": "pp-ocr-cls", "recognise": "pp-ocrv4-rec"}


def accuracy(text, expected):
    """Return the share of characters that agree, spaces apart."""
    one, other = ("".join(each.split()) for each in (text, expected))
    same = SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    return sum(block.size for block in same) / max(len(one), len(other))


@pytest.fixture
def folder(prepared):
    return prepared("document-ocr", "make_pages.py", needs="rapidocr_onnxruntime")


@pytest.fixture
def inferline(folder, tmp_path):
    """Return a function: runs a command, and returns its JSON document; what it deployed is stopped in the end."""
    environment = os.environ | {"INFERLINE_HOME": str(tmp_path / "home")}

    def run(*arguments, form=("--format", "json")):
        command = [sys.executable, "-m", "inferline", *arguments, *form]
        ended = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout) if form else ended.stdout

    yield run
    run("undeploy", "document-ocr")


def write(folder, name, **chosen):
    """Write a plan from (replicas, maximum batch size) of each stage."""
    stages = {
        stage: {"model": MODELS[stage], "hardware": "cpu-1", "replicas": of[0], "max_batch": of[1]}
        for stage, of in chosen.items()
    }
    (folder / name).write_text(json.dumps({"version": 1, "stages": stages}))
    return name


def deploy(inferline, plan):
    ports = [part for kind in ("query", "admin", "rpc") for part in (f"--{kind}-port", "0")]
    return inferline("deploy", plan, "--pipeline", "pipeline.yaml", *ports)


def test_pages_are_read_while_the_plan_changes(folder, inferline, json_lines):
    pages, texts = (json_lines(folder / f"{name}.jsonl")[:PAGES] for name in ("pages", "texts"))
    small = write(folder, "small.json", detect=(1, 1), orient=(1, 1), recognise=(1, 1))
    large = write(folder, "large.json", detect=(1, 4), orient=(1, 2), recognise=(2, 4))
    url = deploy(inferline, small)["predict_url"]
    replies, ended = [], threading.Event()

    def read():
        with httpx.Client(timeout=60) as client:
            while not ended.is_set():
                number = len(replies) % PAGES
                reply = client.post(url, json={"input": pages[number], "route": True}).json()
                replies.append((number, reply))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        moved = deploy(inferline, large)
        again = deploy(inferline, large)
        seen = inferline("status", "document-ocr", "--target", "local", "--over", "1s")["pipelines"][0]
    finally:
        while len(replies) < PAGES and reader.is_alive():
            reader.join(0.05)
        ended.set()
        reader.join(60)
    assert [step["kind"] for step in moved["steps"]] == ["start", "switch"]
    assert again["changed"] is False
    assert [reply for _, reply in replies if reply["default"]] == []
    read_well = [accuracy(reply["output"]["text"], texts[number]) for number, reply in replies]
    assert read_well == pytest.approx([1] * len(replies), abs=0.1)
    routes = {number: [visit["stage"] for visit in reply["route"]] for number, reply in replies}
    turned = {number for number, route in routes.items() if route == ["detect", "orient", "recognise"]}
    assert turned == {3, 6}
    stages = seen["stages"]
    assert {name: (stage["observed"], stage["max_batch"]) for name, stage in stages.items()} == {
        "detect": (1, 4),
        "orient": (1, 2),
        "recognise": (2, 4),
    }
    assert all(stages[name]["rate_qps"] > 0 for name in ("detect", "recognise"))
    assert seen["attainment"]["queries"] > 0
