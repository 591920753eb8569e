"""``inferline profile`` with real models, quick ones: what it writes, says and keeps, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from inferline.files import read_profile_table, read_profiles
from serving_adapter.machine import this_machine

MODELS = """\
import time

def detect(inputs):
    time.sleep(0.002 + 0.001 * len(inputs))
    return [{"n": n, "confidence": n % 10 / 10} for n in inputs]

def sure(inputs):
    return [{"n": sum(numbers), "confidence": 0.1} for numbers in inputs]

def read(inputs):
    time.sleep(0.001 + 0.002 * len(inputs))
    return [each["n"] for each in inputs]

def breaks_at_4(inputs):
    time.sleep(0.001)
    if len(inputs) >= 4:
        raise RuntimeError("four is too many")
    return inputs

def loses_one(inputs):
    return inputs[1:]

def hangs_at_2(inputs):
    time.sleep(0.001 if len(inputs) < 2 else 60)
    return inputs
"""

PIPELINE = """\
version: 1
name: tiny
slo: {latency: 300ms, percentile: 99}
profiles: profiles.csv
hardware:
  cpu-1: {price: $0.05/h, cpus: 1}
  k80: {price: $0.7/h, accelerator: nvidia-k80, accelerators: 1}
stages:
  detect: {model: detector, max_batch: 4}
  read: {model: reader, max_batch: 2, after: [{stage: detect, when: "output.confidence < 0.3", probability: 0.9}]}
workload:
  generate: {arrivals: poisson, rate: 20, duration: 5s}
models:
  detector: {callable: "quick:detect", sample: samples.jsonl}
  reader: {callable: "quick:read"}
"""

FAST = ("--budget", "0.1s", "--hardware", "cpu-1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipeline of two stages with a condition between them; of ten samples in a row three go on."""
    (tmp_path / "quick.py").write_text(MODELS)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "samples.jsonl").write_text("".join(f"{n}\n" for n in range(50)))
    return tmp_path


@pytest.fixture
def edit(folder: Path):
    def edited(*edits: tuple[str, str]) -> None:
        path = folder / "pipeline.yaml"
        text = path.read_text()
        for old, new in edits:
            assert old in text
            text = text.replace(old, new, 1)
        path.write_text(text)

    return edited


def sizes_in(path: Path) -> dict[str, list[int]]:
    return {model: profile.batch_size.tolist() for (model, _), profile in read_profiles(path).items()}


def test_every_stage_is_measured_and_the_plan_can_be_made(run, folder):
    ended = run("profile", "pipeline.yaml", *FAST)
    assert ended.code == 0
    profiles = read_profiles(folder / "profiles.csv")
    assert sizes_in(folder / "profiles.csv") == {"detector": [1, 2, 4], "reader": [1, 2]}
    for model, fixed_s, each_s in (("detector", 0.002, 0.001), ("reader", 0.001, 0.002)):
        profile = profiles[model, "cpu-1"]
        for size, mean_s, hop_s in zip(profile.batch_size, profile.latency_mean_s, profile.hop_mean_s, strict=True):
            assert fixed_s + each_s * size <= mean_s <= hop_s
        assert (profile.samples >= 3).all()
        assert (profile.load_s > 0).all()
    assert "detect on cpu-1, batch 4: " in ended.err
    assert "detector on cpu-1: starts in" in ended.out
    assert "edge detect -> read: 30% (19% to 44%, 50 visits); the file says 90%: outside the interval" in ended.out
    assert (folder / "profiles.samples" / "reader-cpu-1-2.parquet").is_file()
    planned = run("plan", "pipeline.yaml", "--format", "json")
    assert (planned.code, json.loads(planned.out)["stages"]["read"]["hardware"]) == (0, "cpu-1")
    shown = run("profile", "show", "profiles.csv")
    assert (shown.code, shown.out.count("throughput")) == (0, 2)


def test_json_is_one_document(run, folder):
    ended = run("profile", "pipeline.yaml", "--budget", "0.1s", "--stage", "detect", "--format", "json")
    assert ended.code == 0
    document = json.loads(ended.out)
    assert [(row["model"], row["batch_size"]) for row in document["rows"]] == [
        ("detector", 1), ("detector", 2), ("detector", 4),
    ]  # fmt: skip
    assert all(row["latency_mean_s"] > 0 and row["hop_mean_s"] > 0 for row in document["rows"])
    assert document["rows"][0]["source"] in document["environments"]
    (edge,) = document["edges"]
    assert (edge["parent"], edge["child"], edge["visits"], edge["taken"]) == ("detect", "read", 50, 15)
    assert edge["low"] < edge["probability"] == 0.3 < edge["high"] < edge["stated"] == 0.9
    assert (edge["stated_within"], edge["made_up_inputs"]) == (False, False)
    assert list(document["skipped"]) == ["k80"]
    assert (document["pipeline"], document["out"], document["failures"]) == ("tiny", "profiles.csv", [])
    assert "k80 is skipped: needs 1 nvidia-k80" in ended.err


def test_a_condition_without_a_probability_is_told_one(run, edit):
    edit((", probability: 0.9", ""), ("quick:detect", "quick:sure"), ("sample: samples.jsonl", "shape: [2]"))
    ended = run("profile", "pipeline.yaml", *FAST, "--stage", "detect", "--samples", "10")
    assert ended.code == 0
    line = "edge detect -> read: 100% (72% to 100%, 10 visits); the file says none: write probability: 1"
    assert f"{line}; the inputs are made up, real ones may differ" in ended.out


def test_a_wrong_entry_ends_in_2_before_anything_is_measured(run, folder, edit):
    edit(('"quick:read"', '"quicc:read", sample: samples.jsonl'))
    ended = run("profile", "pipeline.yaml", *FAST)
    assert (ended.code, ended.out) == (2, "")
    assert "error: pipeline.yaml: models.reader.callable: no module 'quicc'" in ended.err
    assert not (folder / "profiles.csv").exists()


def test_what_breaks_ends_in_4_and_the_others_are_measured(run, folder, edit):
    edit((" max_batch: 4", " max_batch: 8"), ("quick:detect", "quick:breaks_at_4"), (", when: ", ", choice: "))
    edit(('"quick:read"', '"quick:read", sample: read.jsonl'))
    (folder / "read.jsonl").write_text('{"n": 1}\n')
    ended = run("profile", "pipeline.yaml", *FAST)
    assert ended.code == 4
    assert sizes_in(folder / "profiles.csv") == {"detector": [1, 2], "reader": [1, 2]}
    assert "failed: 4 rows of this run are in profiles.csv, but not all could be measured:" in ended.err
    assert "model 'detector' on 'cpu-1' failed at batch size 4" in ended.err
    assert "four is too many" in ended.err
    assert "(rows measured before that: 2)" in ended.err
    assert "reader on cpu-1: starts in" in ended.out


@pytest.mark.parametrize(
    ("model", "kept", "wanted"),
    [
        ("loses_one", None, "returned 0 outputs for 1 inputs"),
        ("hangs_at_2", [1], "no answer within 0.5 s"),
    ],
)
def test_a_model_that_answers_wrongly_or_not_at_all_ends_in_4(run, folder, edit, model, kept, wanted):
    edit(("quick:detect", f"quick:{model}"))
    before = "model,hardware,batch_size,latency_mean_s\ndetector,cpu-1,1,7\ndetector,cpu-1,64,7\n"
    (folder / "profiles.csv").write_text(before)
    # The stage that is to be measured has no condition on it: nothing is walked.
    edit((', when: "output.confidence < 0.3"', ""))
    ended = run("profile", "pipeline.yaml", *FAST, "--stage", "detect", "--batch-timeout", "0.5s")
    assert ended.code == 4
    assert wanted in ended.err
    assert "detector" not in ended.out or kept
    if kept is None:
        assert (folder / "profiles.csv").read_text() == before
    else:
        assert sizes_in(folder / "profiles.csv") == {"detector": kept}


def test_when_the_walk_breaks_what_has_inputs_is_measured(run, folder, edit):
    edit(("quick:detect", "quick:loses_one"))
    edit(("  read: {", "  alone: {model: other, max_batch: 1}\n  read: {"))
    edit(("models:\n", 'models:\n  other: {callable: "quick:hangs_at_2", sample: samples.jsonl}\n'))
    ended = run("profile", "pipeline.yaml", *FAST)
    assert ended.code == 4
    assert sizes_in(folder / "profiles.csv") == {"other": [1]}
    assert "walking sample inputs through the pipeline: model 'detector' on 'cpu-1' failed" in ended.err
    assert "model 'reader' on 'cpu-1': there are no inputs for it" in ended.err


def test_resume_measures_what_is_left(run, folder, edit):
    edit((" max_batch: 4", " max_batch: 8"), ("quick:detect", "quick:breaks_at_4"))
    edit((', when: "output.confidence < 0.3"', ""))
    only = ("--stage", "detect", *FAST)
    assert run("profile", "pipeline.yaml", *only, "--budget", "0.3s").code == 4
    first = (folder / "profiles.csv").read_text().splitlines()
    # The ramp came to an end before a row was closed: nothing is done, and all is measured again.
    assert all(",unfinished," in line for line in first[1:])
    (folder / "quick.py").write_text(MODELS.replace(">= 4", ">= 99"))
    edit((" max_batch: 8", " max_batch: 2"))
    assert run("profile", "pipeline.yaml", *only, "--resume").code == 0
    second = (folder / "profiles.csv").read_text().splitlines()
    assert sizes_in(folder / "profiles.csv") == {"detector": [1, 2]}
    again = run("profile", "pipeline.yaml", *only, "--resume")
    assert (again.code, (folder / "profiles.csv").read_text().splitlines()) == (0, second)
    assert "detector on cpu-1 is measured already" in again.err
    assert "detector on cpu-1: starts in" in again.out
    edit((" max_batch: 2", " max_batch: 4"))
    assert run("profile", "pipeline.yaml", *only, "--resume").code == 0
    third = (folder / "profiles.csv").read_text().splitlines()
    assert third[:-1] == second
    assert sizes_in(folder / "profiles.csv") == {"detector": [1, 2, 4]}


def test_ctrl_c_keeps_the_rows_and_ends_in_130(folder):
    command = [
        sys.executable,
        "-m",
        "inferline",
        "profile",
        "pipeline.yaml",
        "--hardware",
        "cpu-1",
        "--budget",
        "60s",
    ]
    with subprocess.Popen(
        [*command, "--precision", "0.01%"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = monotonic() + 30
        while not (folder / "profiles.csv").exists():
            assert process.poll() is None
            assert monotonic() < deadline
            sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted: " in err
    assert "are in profiles.csv; --resume goes on from there" in err or "is in profiles.csv; --resume" in err
    assert "detector on cpu-1" in out
    assert "Traceback" not in out + err
    assert set(read_profile_table(folder / "profiles.csv").extra["stopped"]) == {"unfinished"}


def test_rows_in_two_files_are_warned_of(run, folder, edit):
    edit(("profiles: profiles.csv", "profiles: [old.csv, profiles.csv]"))
    (folder / "old.csv").write_text("model,hardware,batch_size,latency_mean_s\nreader,cpu-1,1,7\n")
    (folder / "read.jsonl").write_text('{"n": 1}\n')
    edit(('"quick:read"', '"quick:read", sample: read.jsonl'), ("max_batch: 2", "max_batch: 1"))
    ended = run("profile", "pipeline.yaml", *FAST, "--stage", "read", "--out", "profiles.csv")
    assert ended.code == 0
    assert "old.csv has rows of reader on cpu-1, too" in ended.err


def test_co_location_is_measured_when_it_is_asked_for(run, folder):
    ended = run("profile", "pipeline.yaml", *FAST, "--stage", "read", "--samples", "20", "--colocated", "2")
    assert ended.code == 0
    assert "side by side" in ended.out
    table = read_profile_table(folder / "profiles.csv")
    assert table.extra["colocated"] == ("2", "2")
    assert (table.profiles["reader", "cpu-1"].colocated_slowdown > 0).all()


def test_models_that_nobody_knows_how_to_run_are_named_at_once(run, folder, edit):
    edit((PIPELINE[PIPELINE.index("models:") :], ""))
    ended = run("profile", "pipeline.yaml")
    assert (ended.code, ended.out) == (2, "")
    for model in ("detector", "reader"):
        assert f"pipeline.yaml: models.{model}: missing; profile needs to know how to run it" in ended.err
    edit(("workload:", 'models: {reader: {callable: "quick:read"}}\nworkload:'))
    ended = run("profile", "pipeline.yaml", "--stage", "read")
    assert ended.code == 2
    assert "models.detector: missing; the outputs of stage 'detect' are needed to profile 'read'" in ended.err


def test_hardware_that_is_not_here_ends_in_2_when_nothing_else_is_left(run, edit):
    ended = run("profile", "pipeline.yaml", "--hardware", "k80")
    assert (ended.code, ended.out) == (2, "")
    assert "error: --hardware: k80: needs 1 nvidia-k80; this machine has none" in ended.err
    edit(("cpus: 1}", f"cpus: {len(this_machine().cores) + 1}}}"))
    ended = run("profile", "pipeline.yaml")
    assert ended.code == 2
    assert "none of the hardware that the stages may use is at hand: cpu-1: needs" in ended.err


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--stage", "detekt"), "--stage: no stage 'detekt' (did you mean 'detect'?)"),
        (("--hardware", "cpu1"), "--hardware: no hardware 'cpu1' (did you mean 'cpu-1'?)"),
        (("--budget", "0s"), "--budget: is 0; give it some time"),
        (("--precision", "2 percent"), "'2 percent' is not a share"),
        (("--precision", "0%"), "out of range"),
        (("--colocated", "0"), "0 is not in the range"),
        (("--out", "no/such/profiles.csv"), "no/such/profiles.csv: cannot be written: there is no such folder"),
        (("--out", "quick.py"), "quick.py"),
    ],
)
def test_wrong_options_end_in_2(run, folder, options, wanted):
    ended = run("profile", "pipeline.yaml", *options)
    assert (ended.code, ended.out) == (2, "")
    assert wanted in ended.err
    assert (folder / "quick.py").read_text() == MODELS


def test_a_stage_that_no_sample_reaches_ends_in_2(run, edit):
    edit(("output.confidence < 0.3", "output.confidence > 1"))
    ended = run("profile", "pipeline.yaml", *FAST)
    assert (ended.code, ended.out) == (2, "")
    assert "pipeline.yaml: models.reader.sample: no sample reaches 'read'; give it sample:, or more" in ended.err


def test_sample_files_are_named_with_their_lines(run, folder):
    (folder / "samples.jsonl").write_text("1\n{\n")
    ended = run("profile", "pipeline.yaml", *FAST)
    assert (ended.code, ended.out) == (2, "")
    assert "samples.jsonl: line 2: is not JSON" in ended.err
