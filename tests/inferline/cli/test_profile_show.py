"""``inferline profile show``: any profile file as tables, as a document, as a picture."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from datetime import UTC, datetime

import pytest

from inferline.cli.profile_tables import profile_rows, profile_tables
from inferline.files import read_profile_table

MEASURED = """\
model,hardware,batch_size,latency_mean_s,latency_p50_s,latency_p95_s,latency_p99_s,latency_std_s,throughput_qps,\
samples,load_s,source,hop_mean_s,hop_p50_s,hop_p95_s,hop_p99_s,colocated_slowdown,latency_mean_ci_s,\
latency_p99_low_s,latency_p99_high_s,stopped,measured_at,colocated
detector,cpu,1,0.02,0.019,0.021,0.03,0.001,50,400,1.5,env-1,0.0215,0.021,0.022,0.03,1.25,0.0004,0.028,0.035,precise,\
2026-01-02T03:00:00Z,4
detector,cpu,8,0.08,0.079,0.081,0.09,0.001,100,40,1.5,env-1,0.079,0.08,0.082,0.09,,0.00002,,,budget,\
2026-01-02T01:00:00Z,
detector,gpu,1,0.0004,0.0004,0.0004,0.0005,0.00001,2500,4000,2,env-2,0.001,0.001,0.001,0.001,,0.00001,,,unfinished,,
"""


@pytest.fixture
def measured(folder):
    (folder / "measured.csv").write_text(MEASURED)
    return folder / "measured.csv"


def test_the_table_says_what_the_file_says(run, measured):
    ended = run("profile", "show", "measured.csv")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith("detector on cpu: starts in 1.5 s; measured ")
    assert lines[0].endswith("source env-1")
    assert lines[1].split() == (
        "batch mean +/- P50 P95 P99 95 % interval throughput hop adds samples side by side stopped".split()  # noqa: SIM905
    )
    assert lines[2].split() == [
        "1", "20", "ms", "2.0%", "19", "ms", "21", "ms", "30", "ms", "28", "ms", "to", "35", "ms", "50/s", "████",
        "1.5", "ms", "400", "4:", "1.25x", "precise",
    ]  # fmt: skip
    assert lines[3].split() == [
        "8", "80", "ms", "<0.1%", "79", "ms", "81", "ms", "90", "ms", "-", "100/s", "████████", "-1", "ms", "40",
        "-", "budget",
    ]  # fmt: skip
    assert lines[5] == "detector on gpu: starts in 2 s; source env-2"
    assert "side by side" not in lines[6]


def test_ages_go_from_the_youngest_to_the_oldest_row(measured):
    rows = profile_rows(read_profile_table(measured))
    cpu, gpu = profile_tables(rows, now=datetime(2026, 1, 2, 4, 30, tzinfo=UTC))
    assert "measured 90 min to 3 h ago" in str(cpu.title)
    assert "ago" not in str(gpu.title)


def test_what_a_file_does_not_say_shows_as_a_dash(run):
    ended = run("profile", "show", "profiles.csv")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0] == "detector on cpu"
    assert lines[2].split() == ["1", "20", "ms", *"-----", "50/s", "██████", "-", "-", "-"]
    assert [line for line in lines if " on " in line] == ["detector on cpu", "reader on cpu", "reader on gpu"]


def test_the_document_has_every_column_with_its_type(run, measured):
    document = json.loads(run("profile", "show", "measured.csv", "--format", "json").out)
    assert document["version"] == 1
    first, second, third = document["rows"]
    assert (first["model"], first["hardware"], first["batch_size"], first["samples"]) == ("detector", "cpu", 1, 400)
    assert (first["latency_mean_ci_s"], first["colocated"], first["colocated_slowdown"]) == (0.0004, 4, 1.25)
    assert (second["latency_p99_low_s"], second["stopped"], second["colocated"]) == (None, "budget", None)
    assert (third["source"], third["measured_at"]) == ("env-2", None)


def test_the_picture_has_two_panels_for_each_model_and_the_same_bytes(run, folder, measured):
    (folder / "both.csv").write_text(MEASURED + "reader $x$,cpu,2,1" + "," * 19 + "\n")
    for name in ("one.svg", "two.svg"):
        assert run("profile", "show", "both.csv", "--picture", name).code == 0
    text = (folder / "one.svg").read_text()
    assert text == (folder / "two.svg").read_text()
    assert ET.fromstring(text).tag.endswith("svg")
    for words in ("detector: latency of a batch", "reader $x$: latency of a batch", "gpu", "P99", "batch size"):
        assert words in text
    assert text.count("Throughput of one replica") == 2
    for name, begins in (("p.png", b"\x89PNG"), ("p.pdf", b"%PDF")):
        assert run("profile", "show", "measured.csv", "--picture", name).code == 0
        assert (folder / name).read_bytes().startswith(begins)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("missing.csv",), "missing.csv: cannot be read"),
        (("trace.csv",), "trace.csv: line 1: no column 'model'"),
        (("profiles.csv", "--picture", "p.gif"), "'p.gif' ends in none of .svg, .png, .pdf"),
        (("profiles.csv", "--picture", "no/such/p.svg"), "no/such/p.svg: cannot be written"),
        (("profiles.csv", "--picture", "no/such/p.png"), "no/such/p.png: cannot be written"),
    ],
)
def test_wrong_files_end_in_2(run, arguments, wanted):
    ended = run("profile", "show", *arguments)
    assert ended.code == 2
    assert wanted in ended.err


def test_without_matplotlib_it_names_the_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ended = run("profile", "show", "profiles.csv", "--picture", "p.svg")
    assert (ended.code, ended.out) == (2, "")
    assert "--picture needs matplotlib: pip install 'inferline[report]'" in ended.err
