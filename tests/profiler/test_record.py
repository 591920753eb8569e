"""What stands in the files after each observation, whatever happens next."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from inferline.domain import Hardware
from inferline.errors import InputError
from inferline.files import read_profile_table, read_profiles
from inferline.files.profile_file.profile_rows import COLUMNS
from profiler.record import Done, Record, samples_path
from profiler.results import Measurement, Row, Samples, Target
from profiler.targets import model_entries

OLD = """\
model,hardware,batch_size,latency_mean_s,note
detector,cpu,1,0.9,old
detector,cpu,64,9.9,old
detector,gpu,1,0.5,kept
other,cpu,2,0.25,kept too
"""


class Clock:
    """Seconds that pass when they are told to."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def target(max_batch: int | None = None) -> Target:
    entries = model_entries(Path("pipeline.yaml"), {"detector": {"callable": "m:f"}})
    return Target(
        entry=entries["detector"],
        hardware=Hardware(name="cpu", price_nano_usd_per_hour=1),
        stages=("detect",),
        max_batch=max_batch,
    )


def row(size: int, mean_s: float, stopped: str = "precise", **more) -> Row:
    return Row(
        **{
            "model": "detector",
            "hardware": "cpu",
            "batch_size": size,
            "latency_mean_s": mean_s,
            "latency_mean_ci_s": mean_s / 50,
            "latency_p50_s": mean_s,
            "latency_p95_s": mean_s * 1.1,
            "latency_p99_s": mean_s * 1.2,
            "latency_p99_low_s": math.nan,
            "latency_p99_high_s": mean_s * 1.3,
            "latency_std_s": mean_s / 10,
            "throughput_qps": size / mean_s,
            "samples": 100,
            "load_s": 1.25,
            "hop_mean_s": mean_s + 0.001,
            "hop_p50_s": mean_s + 0.001,
            "hop_p95_s": mean_s + 0.002,
            "hop_p99_s": mean_s + 0.003,
            "stopped": stopped,
            "measured_at": "2026-01-02T03:04:05Z",
            "source": "env-1",
            **more,
        }
    )


def measurement(*rows: Row, of: Target | None = None, **more) -> Measurement:
    samples = {
        each.batch_size: Samples(
            at_s=np.arange(3.0),
            latency_s=np.full(3, each.latency_mean_s),
            hop_s=np.full(3, each.hop_mean_s),
            counted=np.array([False, True, True]),
        )
        for each in rows
    }
    return Measurement(
        **{
            "target": of or target(),
            "rows": rows,
            "samples": samples,
            "environment": {"id": "env-1", "cpu": "a fast one"},
            **more,
        }
    )


def record(out: Path, clock: Clock | None = None, said: list[str] | None = None) -> Record:
    return Record(out, (said if said is not None else []).append, clock or Clock())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "profiles.csv"


def rows_in(out: Path) -> dict[tuple[str, str], list[int]]:
    return {key: profile.batch_size.tolist() for key, profile in read_profiles(out).items()}


def test_the_file_is_the_contracts_with_the_columns_of_the_measurement_behind(out):
    record(out).observe(measurement(row(1, 0.0123456789123), row(2, 0.02), finished=True, ended="throughput"))
    header, first, _ = out.read_text().splitlines()
    columns = header.split(",")
    assert tuple(columns[:12]) == COLUMNS
    assert set(columns[12:]) == {
        "latency_mean_ci_s", "latency_p99_low_s", "latency_p99_high_s", "hop_mean_s", "hop_p50_s", "hop_p95_s",
        "hop_p99_s", "stopped", "measured_at",
    }  # fmt: skip
    cells = dict(zip(columns, first.split(","), strict=True))
    assert cells["latency_mean_s"] == "0.012345679"
    assert cells["throughput_qps"] == "81"
    assert cells["samples"] == "100"
    assert cells["latency_p99_low_s"] == ""
    assert (cells["stopped"], cells["source"]) == ("precise", "env-1")


def test_co_location_has_columns_when_it_was_measured(out):
    record(out).observe(measurement(row(1, 0.01, colocated=4, colocated_slowdown=1.2345678), row(2, 0.02)))
    columns, first, second = (line.split(",") for line in out.read_text().splitlines())
    cells = [dict(zip(columns, line, strict=True)) for line in (first, second)]
    assert [(each["colocated"], each["colocated_slowdown"]) for each in cells] == [("4", "1.23457"), ("", "")]


def test_rows_of_others_stay_and_old_ones_go_with_the_first_new_one(out):
    out.write_text(OLD)
    kept = record(out)
    kept.observe(measurement())
    kept.close()
    assert out.read_text() == OLD
    kept.observe(measurement(row(1, 0.01)))
    assert rows_in(out) == {("detector", "cpu"): [1], ("detector", "gpu"): [1], ("other", "cpu"): [2]}
    table = read_profile_table(out)
    assert table.extra["note"] == ("", "kept", "kept too")
    assert table.profiles["detector", "cpu"].latency_mean_s.tolist() == [0.01]


def test_it_is_written_when_a_row_is_closed_and_otherwise_once_a_second(out):
    clock = Clock()
    kept = record(out, clock)
    kept.observe(measurement(row(1, 0.010, "unfinished")))
    log = [(clock.now_s, read_profiles(out)["detector", "cpu"].latency_mean_s.tolist())]
    for now_s, latest in (
        (0.5, (row(1, 0.011, "unfinished"),)),
        (1.1, (row(1, 0.012, "unfinished"),)),
        (1.2, (row(1, 0.013), row(2, 0.02, "unfinished"))),
        (1.3, (row(1, 0.013), row(2, 0.03, "unfinished"))),
    ):
        clock.now_s = now_s
        kept.observe(measurement(*latest))
        log.append((now_s, read_profiles(out)["detector", "cpu"].latency_mean_s.tolist()))
    kept.close()
    log.append((clock.now_s, read_profiles(out)["detector", "cpu"].latency_mean_s.tolist()))
    assert log == [
        (0.0, [0.01]),
        (0.5, [0.01]),
        (1.1, [0.012]),
        (1.2, [0.013, 0.02]),
        (1.3, [0.013, 0.02]),
        (1.3, [0.013, 0.03]),
    ]


def test_raw_samples_and_environments_are_kept_beside(out):
    kept = record(out)
    kept.observe(measurement(row(1, 0.01), row(2, 0.02, "unfinished")))
    stored = pq.read_table(samples_path(out, "detector", "cpu", 1))
    assert stored.column_names == ["at_s", "latency_s", "hop_s", "counted"]
    assert stored["counted"].to_pylist() == [False, True, True]
    assert stored.schema.metadata[b"source"] == b"env-1"
    assert not samples_path(out, "detector", "cpu", 2).exists()
    kept.close()
    assert samples_path(out, "detector", "cpu", 2).exists()
    environments = json.loads(out.with_name("profiles.environments.json").read_text())
    assert environments == {"env-1": {"id": "env-1", "cpu": "a fast one", "ended": {}}}


def test_without_pyarrow_rows_are_kept_and_one_line_says_what_is_not(out, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    said: list[str] = []
    record(out, said=said).observe(measurement(row(1, 0.01), row(2, 0.02), finished=True))
    assert said == ["raw samples are not kept: pip install 'inferline[parquet]'"]
    assert rows_in(out) == {("detector", "cpu"): [1, 2]}
    assert not out.with_name("profiles.samples").exists()


def test_a_resumed_run_knows_what_is_done(out):
    first = record(out)
    assert first.done(target(), "env-1") == Done(frozenset(), False)
    first.observe(measurement(row(1, 0.01), row(2, 0.02, "budget"), row(4, 0.04, "unfinished")))
    first.close()
    second = record(out)
    assert second.done(target(), "env-1") == Done(frozenset({1, 2}), False)
    assert second.done(target(), "another machine") == Done(frozenset(), False)
    second.resume(target(), "env-1")
    second.observe(measurement(row(4, 0.05, "unfinished")))
    assert rows_in(out) == {("detector", "cpu"): [1, 2, 4]}
    second.observe(measurement(row(4, 0.05), finished=True, ended="throughput"))
    assert record(out).done(target(), "env-1") == Done(frozenset({1, 2, 4}), True)


def test_a_resumed_run_with_nothing_left_to_measure_notes_that_it_is_finished(out):
    first = record(out)
    first.observe(measurement(row(1, 0.01), row(2, 0.02)))
    first.close()
    second = record(out)
    second.resume(target(), "env-1")
    second.observe(measurement(finished=True, ended="throughput"))
    assert rows_in(out) == {("detector", "cpu"): [1, 2]}
    assert record(out).done(target(), "env-1") == Done(frozenset({1, 2}), True)


def test_a_resumed_run_keeps_no_rows_of_another_machine(out):
    first = record(out)
    first.observe(measurement(row(1, 0.01), row(64, 0.9, source="env-0")))
    first.close()
    second = record(out)
    second.resume(target(), "env-1")
    second.observe(measurement(row(2, 0.02), finished=True, ended="throughput"))
    assert rows_in(out) == {("detector", "cpu"): [1, 2]}


def test_co_location_that_was_not_measured_is_not_done(out):
    beside = {"colocated": 2, "colocated_slowdown": 1.5}
    record(out).observe(measurement(row(1, 0.01, **beside), row(2, 0.02), finished=True, ended="throughput"))
    assert record(out).done(target(), "env-1", 1) == Done(frozenset({1, 2}), True)
    assert record(out).done(target(), "env-1", 2) == Done(frozenset({1}), False)
    assert record(out).done(target(), "env-1", 3) == Done(frozenset(), False)


def test_what_a_resumed_run_did_not_come_to_again_is_left_out_in_the_end(out):
    first = record(out)
    first.observe(measurement(row(1, 0.01), row(8, 0.08, "unfinished")))
    first.close()
    second = record(out)
    second.resume(target(), "env-1")
    second.observe(measurement(row(2, 0.02), finished=True, ended="throughput"))
    assert rows_in(out) == {("detector", "cpu"): [1, 2]}


@pytest.mark.parametrize(
    ("ended", "cap", "now", "finished"),
    [
        ("max_batch", 8, 8, True),
        ("max_batch", 8, 4, True),
        ("max_batch", 8, 16, False),
        ("max_batch", 8, None, False),
        ("max_batch", None, None, True),
        ("throughput", 8, None, True),
        ("memory", None, 4, True),
        ("", 8, 8, False),
    ],
)
def test_a_wider_cap_opens_what_the_cap_had_ended(out, ended, cap, now, finished):
    record(out).observe(measurement(row(1, 0.01), of=target(cap), finished=True, ended=ended))
    assert record(out).done(target(now), "env-1").finished is finished


def test_measuring_anew_forgets_how_it_ended(out):
    record(out).observe(measurement(row(1, 0.01), row(2, 0.02), finished=True, ended="throughput"))
    again = record(out)
    again.observe(measurement(row(1, 0.01)))
    again.close()
    assert record(out).done(target(), "env-1") == Done(frozenset({1}), False)
    assert not samples_path(out, "detector", "cpu", 2).exists()


def test_files_that_are_something_else_are_left_alone(out, tmp_path):
    out.write_text("not,a,profile\n1,2,3\n")
    with pytest.raises(InputError, match="no column 'model'"):
        record(out)
    with pytest.raises(InputError, match="there is no such folder"):
        record(tmp_path / "no" / "profiles.csv")
    out.write_text(OLD)
    for broken in ("[]", '{"env-1": 3}', '{"env-1": {"ended": []}}', '{"env-1": {"ended": {"m": {"h": 1}}}}'):
        out.with_name("profiles.environments.json").write_text(broken)
        with pytest.raises(InputError, match="is no file of environments"):
            record(out)


def test_a_parquet_file_is_written_as_one(tmp_path):
    out = tmp_path / "profiles.parquet"
    record(out).observe(measurement(row(1, 0.01), finished=True))
    record(out).observe(measurement(replace(row(1, 0.02), stopped="budget"), finished=True))
    assert out.read_bytes().startswith(b"PAR1")
    assert read_profile_table(out).extra["stopped"] == ("budget",)
