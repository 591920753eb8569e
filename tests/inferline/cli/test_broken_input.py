"""Broken files through the command itself: exit code 2, every fault named, no traceback, nothing written."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import pytest

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + k)}: &{chr(98 + k)} [{', '.join([f'*{chr(97 + k)}'] * 9)}]\n" for k in range(12)
)

# name: file, text to replace (None: the whole file), new text or bytes, what the message must say
BROKEN: dict[str, tuple[str, str | None, str | bytes, tuple[str, ...]]] = {
    "missing stage": ("pipeline.yaml", "stage: detect", "stage: detekt", ("stages.read.after[0].stage", "did you mean 'detect'")),
    "cycle": ("pipeline.yaml", "{model: detector}", "{model: detector, after: [read]}", ("cycle", "detect -> read")),
    "self edge": ("pipeline.yaml", "stage: detect", "stage: read", ("cannot come after itself",)),
    "parent twice": ("pipeline.yaml", "[{stage: detect, probability: 0.5}]", "[detect, detect]", ("named twice",)),
    "no stages": ("pipeline.yaml", None, "version: 1\nname: x\nslo: {latency: 1s, percentile: 99}\nprofiles: profiles.csv\nhardware: {cpu: {price: 1}}\nstages: {}\nworkload: {trace: trace.csv}\n", ("stages",)),
    "probability above 1": ("pipeline.yaml", "probability: 0.5", "probability: 1.2", ("stages.read.after[0].probability", "1.2")),
    "negative probability": ("pipeline.yaml", "probability: 0.5", "probability: -0.1", ("probability", "-0.1")),
    "probability is text": ("pipeline.yaml", "probability: 0.5", "probability: often", ("probability", "often")),
    "choice above 1": ("pipeline.yaml", "probability: 0.5}]", "probability: 0.5, choice: c}]\n  other: {model: reader, after: [{stage: detect, probability: 0.6, choice: c}]}", ("choice", "1.1")),
    "unknown unit": ("pipeline.yaml", "100ms", "100 parsecs", ("slo.latency", "parsecs")),
    "negative latency": ("pipeline.yaml", "100ms", "-5ms", ("slo.latency", "-5ms")),
    "zero latency": ("pipeline.yaml", "100ms", "0ms", ("slo.latency",)),
    "NaN latency": ("pipeline.yaml", "100ms", ".nan", ("slo.latency",)),
    "percentile 0": ("pipeline.yaml", "percentile: 99", "percentile: 0", ("slo.percentile",)),
    "percentile 101": ("pipeline.yaml", "percentile: 99", "percentile: 101", ("slo.percentile", "101")),
    "price is text": ("pipeline.yaml", "$0.05/h", "cheap", ("hardware.cpu.price", "cheap")),
    "negative price": ("pipeline.yaml", "$0.05/h", "-1", ("hardware.cpu.price",)),
    "price per month": ("pipeline.yaml", "$0.05/h", "$36/month", ("hardware.cpu.price",)),
    "unknown hardware": ("pipeline.yaml", "{model: detector}", "{model: detector, hardware: [cpuu]}", ("stages.detect.hardware[0]", "did you mean 'cpu'")),
    "unknown model": ("pipeline.yaml", "model: detector", "model: detectr", ("stages.detect", "detectr")),
    "unknown key": ("pipeline.yaml", "workload:", "wrkload: {}\nworkload:", ("wrkload", "did you mean 'workload'")),
    "missing key": ("pipeline.yaml", "name: small\n", "", ("name",)),
    "duplicate key": ("pipeline.yaml", "name: small", "name: small\nname: big", ("name", "twice")),
    "stage named no": ("pipeline.yaml", "  detect: {model", "  no: {model: detector}\n  detect: {model", ("quote",)),
    "version 2": ("pipeline.yaml", "version: 1", "version: 2", ("version", "2")),
    "replicas upside down": ("pipeline.yaml", "{model: detector}", "{model: detector, replicas: {min: 5, max: 2}}", ("stages.detect.replicas",)),
    "zero replicas": ("pipeline.yaml", "{model: detector}", "{model: detector, replicas: {max: 0}}", ("stages.detect.replicas",)),
    "max_batch 0": ("pipeline.yaml", "{model: detector}", "{model: detector, max_batch: 0}", ("stages.detect.max_batch",)),
    "limit too small": ("pipeline.yaml", "limit: 20", "limit: -1", ("hardware.gpu.limit",)),
    "two ways of traffic": ("pipeline.yaml", "trace: trace.csv", "trace: trace.csv\n  generate: {arrivals: poisson, rate: 1, duration: 1s}", ("workload",)),
    "no traffic": ("pipeline.yaml", "workload:\n  trace: trace.csv", "workload: {}", ("workload",)),
    "peak and scale": ("pipeline.yaml", "trace: trace.csv", "trace: trace.csv\n  peak: 10\n  scale: 2", ("workload",)),
    "10^9 times the peak": ("pipeline.yaml", "trace: trace.csv", "trace: trace.csv\n  scale: 1000000000", ("workload.scale",)),
    "absurd peak": ("pipeline.yaml", "trace: trace.csv", "trace: trace.csv\n  peak: 1e15", ("workload.peak",)),
    "empty sample": ("pipeline.yaml", "trace: trace.csv", "trace: trace.csv\n  sample: 0%", ("workload.sample",)),
    "unknown generator": ("pipeline.yaml", "trace: trace.csv", "generate: {arrivals: gama, rate: 1, duration: 1s}", ("workload.generate.arrivals", "did you mean 'gamma'")),
    "generator without rate": ("pipeline.yaml", "trace: trace.csv", "generate: {arrivals: poisson, duration: 1s}", ("workload.generate", "rate")),
    "YAML bomb": ("pipeline.yaml", None, BOMB, ("pipeline.yaml",)),
    "deep nesting": ("pipeline.yaml", None, "[" * 5000 + "]" * 5000, ("pipeline.yaml",)),
    "YAML syntax": ("pipeline.yaml", "{model: detector}", "{model: detector", ("pipeline.yaml", "line")),
    "tab": ("pipeline.yaml", "  detect:", "\tdetect:", ("pipeline.yaml", "line")),
    "python object": ("pipeline.yaml", "name: small", "name: !!python/object/apply:os.system [id]", ("name",)),
    "binary rubbish": ("pipeline.yaml", None, bytes(range(256)) * 20, ("pipeline.yaml",)),
    "empty file": ("pipeline.yaml", None, "", ("pipeline.yaml",)),
    "a list": ("pipeline.yaml", None, "- 1\n- 2\n", ("pipeline.yaml",)),
    "several documents": ("pipeline.yaml", "version: 1", "---\nversion: 1\n---\nversion: 1", ("pipeline.yaml",)),
    "missing profiles": ("pipeline.yaml", "profiles: profiles.csv", "profiles: nowhere.csv", ("nowhere.csv",)),
    "missing trace": ("pipeline.yaml", "trace: trace.csv", "trace: nowhere.csv", ("nowhere.csv",)),
    "profile header": ("profiles.csv", "latency_mean_s", "latency_mean", ("profiles.csv", "latency_mean_s")),
    "profile latency NaN": ("profiles.csv", "0.045", "nan", ("profiles.csv: line 4",)),
    "profile latency negative": ("profiles.csv", "0.045", "-0.045", ("profiles.csv: line 4",)),
    "profile latency 0": ("profiles.csv", "0.045", "0", ("profiles.csv: line 4",)),
    "profile batch 0": ("profiles.csv", "cpu,4", "cpu,0", ("profiles.csv: line 3",)),
    "profile batch 1.5": ("profiles.csv", "cpu,4", "cpu,1.5", ("profiles.csv: line 3",)),
    "profile row twice": ("profiles.csv", "detector,cpu,4", "detector,cpu,1", ("profiles.csv: line 3",)),
    "profile column missing for p95": ("pipeline.yaml", "workload:", "planner: {service_time: p95}\nworkload:", ("latency_p95_s",)),
    "profile rubbish": ("profiles.csv", None, bytes(range(256)) * 20, ("profiles.csv",)),
    "profile empty": ("profiles.csv", None, "", ("profiles.csv",)),
    "trace unsorted": ("trace.csv", None, "arrival_s\n1.0\n0.5\n", ("trace.csv: line 3",)),
    "trace empty": ("trace.csv", None, "arrival_s\n", ("trace.csv",)),
    "trace without anything": ("trace.csv", None, "", ("trace.csv",)),
    "trace negative": ("trace.csv", None, "arrival_s\n-1.0\n", ("trace.csv: line 2",)),
    "trace NaN": ("trace.csv", None, "arrival_s\nnan\n", ("trace.csv: line 2",)),
    "trace header": ("trace.csv", None, "time\n1.0\n", ("trace.csv",)),
    "trace of zeros": ("trace.csv", None, "second,requests\n0,0\n1,0\n", ("trace.csv",)),
    "trace with a gap": ("trace.csv", None, "second,requests\n0,1\n2,1\n", ("trace.csv: line 3",)),
    "trace rubbish": ("trace.csv", None, bytes(range(256)) * 20, ("trace.csv",)),
    "trace cut off": ("trace.csv", None, gzip.compress(b"arrival_s\n" + b"1.0\n" * 9999)[:-20], ("trace.csv",)),
}  # fmt: skip


def break_it(folder, case):
    file, old, new, _ = BROKEN[case]
    path = folder / file
    if old is None:
        path.write_bytes(new if isinstance(new, bytes) else new.encode())
    else:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_ends_in_2_with_its_fault(run, folder, case):
    break_it(folder, case)
    ended = run("plan", "pipeline.yaml", "--out", "plan.json", "--planner", "greedy")
    assert ended.code == 2, ended
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert ended.err.startswith("error: ")
    for words in BROKEN[case][3]:
        assert words in ended.err
    assert not (folder / "plan.json").exists()


def test_a_cap_below_the_smallest_profiled_batch_ends_in_2(run, folder):
    profiles = (folder / "profiles.csv").read_text()
    (folder / "profiles.csv").write_text(profiles.replace("detector,cpu,1,0.020\n", ""))
    assert run("plan", "pipeline.yaml").code == 0  # the smallest profiled size stands in for smaller batches
    text = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(text.replace("{model: detector}", "{model: detector, max_batch: 2}"))
    ended = run("plan", "pipeline.yaml")
    assert ended.code == 2
    assert "stages.detect.max_batch: 2 is below every profiled batch size" in ended.err


def test_all_faults_of_all_files_are_named_in_one_go(run, folder):
    for case in ("missing stage", "unknown unit", "price is text", "profile latency NaN", "trace unsorted"):
        break_it(folder, case)
    ended = run("plan", "pipeline.yaml")
    assert ended.code == 2
    lines = ended.err.splitlines()
    assert len([line for line in lines if line.startswith("error: ")]) == 5
    assert lines[-1] == "5 faults; nothing was done"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda plan: plan["stages"].pop("read"), "read"),
        (lambda plan: plan["stages"]["read"].update(hardware="tpu"), "tpu"),
        (lambda plan: plan["stages"]["read"].update(replicas=0), "replicas"),
        (lambda plan: plan["stages"]["read"].update(max_batch=9999), "max_batch"),
        (lambda plan: plan["stages"].update(ghost=plan["stages"]["read"]), "ghost"),
        (lambda plan: plan.update(version=99), "version"),
    ],
)
def test_a_broken_plan_ends_in_2(run, folder, change, words):
    run("plan", "pipeline.yaml", "--out", "plan.json")
    plan = json.loads((folder / "plan.json").read_text())
    change(plan)
    (folder / "plan.json").write_text(json.dumps(plan))
    ended = run("simulate", "pipeline.yaml", "--plan", "plan.json")
    assert ended.code == 2
    assert "plan.json" in ended.err
    assert words in ended.err
    assert "Traceback" not in ended.err


def test_files_that_cannot_be_read_end_in_2(run, folder):
    for name in ("nowhere.yaml", "."):
        ended = run("plan", name)
        assert ended.code == 2
        assert ended.err.startswith(f"error: {name}: ")
    (folder / "plan.json").write_text("{]")
    assert run("simulate", "pipeline.yaml", "--plan", "plan.json").code == 2


def test_the_whole_process_leaves_no_traceback(folder):
    break_it(folder, "cycle")
    command = [sys.executable, "-m", "inferline", "plan", str(folder / "pipeline.yaml")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "cycle" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_plan_above_the_cap_of_its_stage_ends_in_2(run, folder):
    run("plan", "pipeline.yaml", "--out", "plan.json")
    plan = json.loads((folder / "plan.json").read_text())
    plan["stages"]["read"].update(hardware="gpu", max_batch=8)
    (folder / "plan.json").write_text(json.dumps(plan))
    text = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(text.replace("model: reader", "model: reader\n    max_batch: 4"))
    ended = run("simulate", "pipeline.yaml", "--plan", "plan.json")
    assert ended.code == 2
    assert "stages.read.max_batch: 8 is above 1" in ended.err
    assert "within the stage's cap of 4" in ended.err
