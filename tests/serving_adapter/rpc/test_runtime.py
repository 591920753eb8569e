"""Processes of model containers: what they are told, what they say about themselves, and how they end."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import socket
import time
import tomllib
from pathlib import Path

import httpx
import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from serving_adapter.rpc.container import BatchTimes
from serving_adapter.rpc.runtime_metrics import ContainerMetrics
from serving_adapter.rpc.runtime_settings import SETTINGS
from serving_adapter.rpc.single import SingleReplica
from serving_adapter.rpc.wire import DataType

LONG_S = 20.0
WANTED = "it must return a list with one output per input"


def served(function: str, **more: object) -> str:
    return json.dumps({"callable": f"served:{function}", **more})


def scraped(port):
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    return {(each.name, *each.labels.values()): each.value for each in samples}


def test_serves_is_ready_is_counted_and_stops(start, single, models, free_port):
    runtime = start(server=single, INFERLINE_MODEL=served("double"), INFERLINE_METRICS_PORT=str(free_port))
    registered = single.await_registration(LONG_S, runtime.alive)
    assert (registered.name, registered.version, registered.data_type) == ("m", "1", DataType.STRINGS)
    assert runtime.ready_file.read_text() == "READY"
    assert single.predict(DataType.STRINGS, [b"1", b'"ab"', b"[0.5]"], LONG_S)[0] == [b"2", b"abab", b"[0.5,0.5]"]
    assert single.predict(DataType.STRINGS, [b"4"], LONG_S)[0] == [b"8"]
    runtime.until(lambda: scraped(free_port)["clipper_mc_pred_total",] == 2)
    figures = scraped(free_port)
    for name in ("end_to_end_latency", "recv_time", "parse_time", "handle_time"):
        assert figures[f"clipper_mc_{name}_ms_count",] == 2
        assert figures[f"clipper_mc_{name}_ms_bucket", "500.0"] == 2
    assert figures["clipper_mc_end_to_end_latency_ms_sum",] > figures["clipper_mc_handle_time_ms_sum",] > 0
    assert (figures["inferline_batch_size_sum",], figures["inferline_batch_size_bucket", "1.0"]) == (4, 1)
    assert figures["process_resident_memory_bytes",] > 1e6
    assert runtime.end() == 0
    assert not runtime.ready_file.exists()
    assert [line.split()[2] for line in runtime.log.splitlines()] == [
        "event=loaded",
        "event=metrics",
        "event=registering",
        "event=stopped",
    ]


def test_clipper_environment_names_type_and_host(start, single, models):
    runtime = start(
        server=single,
        INFERLINE_MODEL=served("total", input_type="floats"),
        CLIPPER_IP="localhost",
        CLIPPER_INPUT_TYPE="Double",
        CLIPPER_MODEL_NAME="sum",
        CLIPPER_MODEL_VERSION="2026-11",
    )
    registered = single.await_registration(LONG_S, runtime.alive)
    assert (registered.name, registered.version, registered.data_type) == ("sum", "2026-11", DataType.DOUBLES)
    assert single.predict(DataType.DOUBLES, [np.array([0.5, 1.0]).tobytes()], LONG_S)[0] == [b"1.5"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_batch_in_hand_is_answered(start, single, models, number):
    runtime = start(server=single, INFERLINE_MODEL=served("when_told"))
    single.await_registration(LONG_S, runtime.alive)
    log = []

    def watch():
        if not log and (models / "begun").exists():
            runtime.process.send_signal(number)
            (models / "go").touch()
            log.append("signal")

    assert single.predict(DataType.STRINGS, [b"7"], LONG_S, watch)[0] == [b"7"]
    assert log == ["signal"]
    assert runtime.code() == 0


def test_second_interrupt_does_not_wait(start, single, models):
    runtime = start(server=single, INFERLINE_MODEL=served("when_told"))
    single.await_registration(LONG_S, runtime.alive)

    def interrupt():
        if (models / "begun").exists():
            runtime.process.send_signal(signal.SIGINT)
        if runtime.process.poll() is not None:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        single.predict(DataType.STRINGS, [b"7"], LONG_S, interrupt)
    assert runtime.code() == -signal.SIGINT


def test_stops_while_the_model_is_loading(start, tmp_path):
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\npathlib.Path(__file__).with_name('begun').touch()\ntime.sleep(60)\n"
    )
    (tmp_path / "ready").write_text("left by another process")
    runtime = start(INFERLINE_MODEL='{"callable": "slow:f"}')
    runtime.until((tmp_path / "begun").exists)
    assert not runtime.ready_file.exists()
    assert runtime.end() == 0
    assert "event=stopped" in runtime.log


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        ("raises", "LookupError", "no class 8\\nin here"),
        (
            "one_too_few",
            "OutputError",
            f"returned 1 outputs for 2 inputs; {WANTED}",
        ),
        ("imports", "ModuleNotFoundError", "No module named 'no_such_module'"),
        ("leaves", "SystemExit", "0"),
    ],
)
def test_model_that_fails(start, single, models, function, error, message):
    runtime = start(server=single, INFERLINE_MODEL=served(function))
    single.await_registration(LONG_S, runtime.alive)

    def ended():
        if runtime.process.poll() is not None:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        single.predict(DataType.STRINGS, [b"1", b"2"], LONG_S, ended)
    assert runtime.code() == 1
    place = "serving" if function == "one_too_few" else "served"
    line = rf'level=ERROR event=failed code=1 while=serving error={error} place={place}\.py:\d+ message="(.*)"\n'
    assert re.findall(line, runtime.log) == [message]
    assert f"{error}: " in runtime.log.splitlines()[-1] or function == "raises"  # the traceback
    assert not runtime.ready_file.exists()


@pytest.mark.parametrize(
    ("model", "environment", "code", "logged"),
    [
        ('{"callable": "nowhere:f"}', {}, 3, "INFERLINE_MODEL: models.m.callable: no module 'nowhere'"),
        ('{"callable": "broken:f"}', {}, 3, "'broken' imports 'no_such_module', which is not installed"),
        ('{"callable": "served:nothing"}', {}, 1, "module 'served' has no 'nothing'"),
        (served("double"), {"CLIPPER_IP": "a..b"}, 1, "CLIPPER_IP (--ip): no address of 'a..b' is known"),
        (served("double"), {"INFERLINE_CPUS": "9999"}, 1, "INFERLINE_CPUS: cannot stay on cores [9999]"),
        (served("double"), {"CLIPPER_MODEL_NAME": ""}, 1, "CLIPPER_MODEL_NAME: is not set"),
    ],
)
def test_what_cannot_begin(start, models, model, environment, code, logged):
    (models / "broken.py").write_text("import no_such_module\n")
    runtime = start(INFERLINE_MODEL=model, **environment)
    assert runtime.code() == code, runtime.log
    assert f"level=ERROR event=refused code={code} message=" in runtime.log
    assert logged in runtime.log


def test_serves_without_metrics_and_ready_file(start, single, models):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        nowhere = ("--ready-file", str(models / "no" / "folder"), "--metrics-port", str(port))
        runtime = start(*nowhere, server=single, INFERLINE_MODEL=served("double"))
        single.await_registration(LONG_S, runtime.alive)
    assert f'event=no_metrics host=127.0.0.1 port={port} reason="Address already in use"' in runtime.log
    assert 'no/folder reason="No such file or directory"' in runtime.log
    assert single.predict(DataType.STRINGS, [b"1"], LONG_S)[0] == [b"2"]


def test_stays_on_its_cores_with_all_its_threads(start, single, models):
    core = sorted(os.sched_getaffinity(0))[-1]
    runtime = start("--cpus", str(core), "--threads", "3", server=single, INFERLINE_MODEL=served("about_itself"))
    single.await_registration(LONG_S, runtime.alive)
    about = json.loads(single.predict(DataType.STRINGS, [b"1"], LONG_S)[0][0])
    assert about["threads"] == "3"
    assert set(map(tuple, about["cores"])) == {(core,)}


def test_registers_again_with_a_restarted_server(start, models):
    first = SingleReplica()
    runtime = start(server=first, INFERLINE_MODEL=served("double"))
    first.await_registration(LONG_S, runtime.alive)
    first.close()
    second = SingleReplica(port=first.port)
    begun = time.monotonic()
    assert second.await_registration(LONG_S, runtime.alive).name == "m"
    assert time.monotonic() - begun < 10  # heartbeats are 5 s apart; it would give the session up after 30 s
    assert second.predict(DataType.STRINGS, [b"1"], LONG_S)[0] == [b"2"]
    second.close()


def test_metrics_of_one_batch():
    registry = CollectorRegistry()
    metrics = ContainerMetrics(registry)
    metrics(BatchTimes(size=3, receive_s=0.0001, parse_s=0.0004, handle_s=0.0120))
    values = [
        registry.get_sample_value(f"clipper_mc_{name}_ms_sum")
        for name in ("recv_time", "parse_time", "handle_time", "end_to_end_latency")
    ]
    assert values == pytest.approx([0.1, 0.4, 12.0, 12.5])
    counts = [registry.get_sample_value("clipper_mc_handle_time_ms_bucket", {"le": le}) for le in ("10.0", "20.0")]
    assert counts == [0, 1]


def test_help_names_every_option_and_variable(start):
    runtime = start("--help")
    assert runtime.code() == 0
    assert all(f"{each.flag} {each.metavar}" in runtime.log and each.variable in runtime.log for each in SETTINGS)


def test_console_script_is_the_same_process():
    root = Path(__file__).parents[3]
    scripts = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["inferline-container"].partition(":")
    assert importlib.import_module(module).__name__ == "serving_adapter.rpc.runtime"
    assert callable(getattr(importlib.import_module(module), name))
