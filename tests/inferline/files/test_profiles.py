"""Profile files: round trips, extra columns, and every fault with its line."""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import pytest

from inferline.domain import Profile
from inferline.files import ProfileTable, read_profile_table, read_profiles, write_profiles

HEADER = "model,hardware,batch_size,latency_mean_s\n"
FULL = (
    "model,hardware,batch_size,latency_mean_s,latency_p50_s,latency_p95_s,latency_p99_s,latency_std_s,"
    "throughput_qps,samples,load_s,source,note\n"
    "nmt,k80,4,0.1,0.09,0.2,0.3,0.01,40,1000,12.5,paper table 2,warm\n"
    "nmt,k80,1,0.07,,,,,,,,,\n"
    'rank,cpu-1,1,1e-3,,,0.002,,,,,"a, ""quoted"" source",\n'
)


def columns(profile: Profile) -> list[object]:
    names = [name for name in Profile.__dataclass_fields__ if name not in {"model", "hardware", "source"}]
    return [profile.model, profile.hardware, profile.source, *(getattr(profile, name).tolist() for name in names)]


def same(one: Profile, other: Profile) -> bool:
    return str(columns(one)) == str(columns(other))  # texts, because NaN differs from itself


@pytest.fixture
def table(folder) -> ProfileTable:
    (folder / "profiles.csv").write_text(FULL)
    return read_profile_table("profiles.csv")


def test_rows_become_profiles_with_ascending_batch_sizes(table):
    assert list(table.profiles) == [("nmt", "k80"), ("rank", "cpu-1")]
    nmt = table.profiles["nmt", "k80"]
    assert nmt.batch_size.tolist() == [1, 4]
    assert nmt.latency_mean_s.tolist() == [0.07, 0.1]
    assert nmt.load_s[1] == 12.5
    assert np.isnan(nmt.latency_p99_s[0])
    assert nmt.source == ("", "paper table 2")
    assert table.profiles["rank", "cpu-1"].source == ('a, "quoted" source',)
    assert table.extra == {"note": ("", "warm", "")}
    assert table.sha256 == hashlib.sha256(FULL.encode()).hexdigest()


@pytest.mark.parametrize("name", ["again.csv", "again.parquet"])
def test_writing_and_reading_gives_the_same_back(table, name):
    write_profiles(name, table)
    again = read_profile_table(name)
    assert list(again.profiles) == list(table.profiles)
    assert all(same(again.profiles[key], table.profiles[key]) for key in table.profiles)
    assert again.extra == table.extra
    write_profiles("third.csv", again)
    write_profiles("fourth.csv", table)
    assert read_profile_table("third.csv").sha256 == read_profile_table("fourth.csv").sha256


MEASURED = (
    "model,hardware,batch_size,latency_mean_s,latency_mean_ci_s,hop_mean_s,hop_p99_s,stopped,measured_at,"
    "colocated,colocated_slowdown,source\n"
    "nmt,k80,1,0.07,0.001,0.071,0.09,precise,2026-11-21T12:00:00Z,4,1.25,env-0123456789\n"
    "nmt,k80,4,0.1,0.03,0.1015,,budget,2026-11-21T12:01:00Z,,,env-0123456789\n"
    "rank,k80,1,0.001,,,,unfinished,yesterday,,,env-0123456789\n"
)


@pytest.mark.parametrize("name", ["again.csv", "again.parquet"])
def test_hops_and_slowdowns_are_numbers_and_the_rest_of_a_measurement_is_kept(folder, name):
    (folder / "profiles.csv").write_text(MEASURED)
    table = read_profile_table("profiles.csv")
    nmt = table.profiles["nmt", "k80"]
    assert nmt.hop_mean_s.tolist() == [0.071, 0.1015]
    assert nmt.slowdown.tolist() == [1.25, 1.0]
    assert np.isnan(table.profiles["rank", "k80"].hop_mean_s).all()
    assert list(table.extra) == ["latency_mean_ci_s", "stopped", "measured_at", "colocated"]
    assert table.extra["measured_at"][2] == "yesterday"
    write_profiles(name, table)
    again = read_profile_table(name)
    assert all(same(again.profiles[key], table.profiles[key]) for key in table.profiles)
    assert again.extra == table.extra
    write_profiles("third.csv", again)
    assert (folder / "third.csv").read_text().splitlines()[0] == (
        "model,hardware,batch_size,latency_mean_s,latency_p50_s,latency_p95_s,latency_p99_s,latency_std_s,"
        "throughput_qps,samples,load_s,source,hop_mean_s,hop_p99_s,colocated_slowdown,"
        "latency_mean_ci_s,stopped,measured_at,colocated"
    )


def test_columns_of_measurements_are_written_only_where_a_row_has_them(table, folder):
    write_profiles("again.csv", table)
    assert (folder / "again.csv").read_text().splitlines()[0] == FULL.splitlines()[0]


def test_profiles_alone_can_be_written_over_an_old_file(table, folder):
    write_profiles("profiles.csv", table.profiles)
    assert read_profile_table("profiles.csv").extra == {}
    assert sorted(path.name for path in folder.iterdir() if "profiles" in path.name) == ["profiles.csv"]


def test_parquet_by_pandas(folder):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "model": ["a", "a"],
            "hardware": "cpu",
            "batch_size": [1.0, 2.0],  # as a column with gaps in it ends up
            "latency_mean_s": [0.5, 1],
            "latency_p99_s": [np.nan, 2.5],
            "when": pandas.to_datetime(["2024-01-01", "2024-01-02"]),
        }
    )
    frame.to_parquet("profiles.parquet")
    table = read_profile_table("profiles.parquet")
    profile = table.profiles["a", "cpu"]
    assert profile.batch_size.tolist() == [1, 2]
    assert str(profile.latency_p99_s.tolist()) == "[nan, 2.5]"
    assert table.extra["when"] == ("2024-01-01 00:00:00", "2024-01-02 00:00:00")


def test_faults_of_parquet_name_the_row(folder, faults_of):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"model": ["a", None], "hardware": "cpu", "batch_size": [1, 2], "latency_mean_s": [0.5, np.nan]}
    )
    frame.to_parquet("profiles.parquet")
    assert faults_of(lambda: read_profiles("profiles.parquet")) == [
        "profiles.parquet: row 2: model: '' is blank; a name has at least one character",
        "profiles.parquet: row 2: latency_mean_s: '' is not a number",
    ]


def test_one_profile_may_be_spread_over_files(folder):
    (folder / "a.csv").write_text(HEADER + "m,h,4,0.4\n")
    (folder / "b.csv").write_text(HEADER + "m,h,1,0.1\n")
    table = read_profile_table(["a.csv", "b.csv"])
    assert table.profiles["m", "h"].batch_size.tolist() == [1, 4]
    digests = [hashlib.sha256((folder / name).read_bytes()).digest() for name in ("a.csv", "b.csv")]
    assert table.sha256 == hashlib.sha256(b"".join(digests)).hexdigest()


def test_all_files_are_gone_through(folder, faults_of):
    (folder / "a.csv").write_text(HEADER + "m,h,1,0.4\nm,h,x,0.4\n")
    (folder / "b.csv").write_text(HEADER + "m,h,1,0.1\n")
    assert faults_of(lambda: read_profiles(["a.csv", "nothere.csv", "b.csv"])) == [
        "a.csv: line 3: batch_size: 'x' is not a whole number",
        "nothere.csv: cannot be read: No such file or directory",
        "b.csv: line 2: model 'm', hardware 'h', batch_size 1 stand already in a.csv: line 2",
    ]


def test_very_many_faults_are_counted(folder, faults_of):
    (folder / "profiles.csv").write_text(HEADER + "m,h,0,1\n" * 1500)
    faults = faults_of(lambda: read_profiles("profiles.csv"))
    assert len(faults) == 1001
    assert faults[-1] == "profiles.csv: and 500 more faults like these"


BROKEN = {
    "empty": (b"", ["is empty; it needs a header line with model, hardware, batch_size, latency_mean_s"]),
    "header only": (HEADER, ["holds no rows; it needs at least one"]),
    "misspelt column": (
        "model,hardware,batch_size,latency_means\na,c,1,0.1\n",
        ["line 1: no column 'latency_mean_s' (did you mean it with 'latency_means'?)"],
    ),
    "missing columns": (
        "model,batch_size\n",
        ["line 1: no column 'hardware'", "line 1: no column 'latency_mean_s'"],
    ),
    "semicolons": (HEADER.replace(",", ";"), ["line 1: columns are separated by semicolons; write commas"]),
    "column twice": (HEADER.strip() + ",model\n", ["line 1: column 'model' stands 2 times"]),
    "column without a name": (HEADER.strip() + ",\n", ["line 1: column 5 has no name"]),
    "negative latency": (
        HEADER + "a,c,1,0.1\na,c,2,-0.1\n",
        ["line 3: latency_mean_s: -0.1 is out of range; it must be above 0"],
    ),
    "latency 0": (HEADER + "a,c,1,0\n", ["line 2: latency_mean_s: 0 is out of range; it must be above 0"]),
    "NaN": (HEADER + "a,c,1,NaN\n", ["line 2: latency_mean_s: 'NaN' is not a number"]),
    "infinite": (HEADER + "a,c,1,1e999\n", ["line 2: latency_mean_s: '1e999' is not a number"]),
    "no latency": (HEADER + "a,c,1,\n", ["line 2: latency_mean_s: '' is not a number"]),
    "text": (HEADER + "a,c,1,0.1s\n", ["line 2: latency_mean_s: '0.1s' is not a number"]),
    "146 years": (HEADER + "a,c,1,5e9\n", ["line 2: latency_mean_s: 5e9 is longer than 146 years (2**62 ns)"]),
    "batch size 0": (
        HEADER + "a,c,0,1\n",
        ["line 2: batch_size: 0 is out of range; it must be at least 1 and at most 100000"],
    ),
    "batch size 1.5": (HEADER + "a,c,1.5,1\n", ["line 2: batch_size: '1.5' is not a whole number"]),
    "absurd batch size": (
        HEADER + "a,c,100001,1\n",
        ["line 2: batch_size: 100001 is out of range; it must be at least 1 and at most 100000"],
    ),
    "the same row twice": (
        HEADER + "a,c,1,1\n\na,c,2,1\na,c,1,2\n",
        ["line 5: model 'a', hardware 'c', batch_size 1 stand already in line 2"],
    ),
    "too few cells": (HEADER + "a,c,1\n", ["line 2: has 3 cells; the header has 4"]),
    "too many cells": (HEADER + "a,c,1,0,5\n", ["line 2: has 5 cells; the header has 4"]),
    "blank model": (HEADER + " ,c,1,2\n", ["line 2: model: '' is blank; a name has at least one character"]),
    "optional columns": (
        HEADER.strip() + ",latency_p99_s,throughput_qps,load_s\na,c,1,1,nan,-1,1e10\n",
        [
            "line 2: latency_p99_s: 'nan' is not a number; leave the cell empty when it is not known",
            "line 2: throughput_qps: -1 is out of range; it must be at least 0",
            "line 2: load_s: 1e10 is longer than 146 years (2**62 ns)",
        ],
    ),
    "columns of measurements": (
        HEADER.strip() + ",hop_mean_s,hop_p95_s,colocated_slowdown\na,c,1,1,0,x,0\na,c,2,1,,,-1\na,c,3,1,,,much\n",
        [
            "line 2: hop_mean_s: 0 is out of range; it must be above 0",
            "line 2: hop_p95_s: 'x' is not a number; leave the cell empty when it is not known",
            "line 2: colocated_slowdown: 0 is out of range; it must be above 0",
            "line 3: colocated_slowdown: -1 is out of range; it must be above 0",
            "line 4: colocated_slowdown: 'much' is not a number; leave the cell empty when it is not known",
        ],
    ),
    "slowdown to 146 years": (
        HEADER.strip() + ",latency_p99_s,colocated_slowdown\na,c,1,1,2,3e9\na,c,2,1,2,1e308\n",
        [
            "line 2: colocated_slowdown: 3e+09 times latency_p99_s is longer than 146 years (2**62 ns)",
            "line 3: colocated_slowdown: 1e+308 times latency_mean_s is longer than 146 years (2**62 ns)",
            "line 3: colocated_slowdown: 1e+308 times latency_p99_s is longer than 146 years (2**62 ns)",
        ],
    ),
    "row over two lines": (
        HEADER.strip() + ',note\na,c,1,1,"two\nlines"\na,c,2,x,\n',
        ["line 4: latency_mean_s: 'x' is not a number"],
    ),
    "open quote": (HEADER + '"a,c,1,2\n', ["line 2: is not CSV: unexpected end of data"]),
    "NUL": (HEADER + "a\0,c,1,2\n", ["line 2: a NUL byte is not text"]),
    "binary": (b"\x89PNG\r\n\x1a\n\xff\xfe", ["line 1: byte 0x89 is not UTF-8 text"]),
    "many": (
        HEADER + "a,c,0,nan\n,c,x,1\n",
        [
            "line 2: batch_size: 0 is out of range; it must be at least 1 and at most 100000",
            "line 2: latency_mean_s: 'nan' is not a number",
            "line 3: model: '' is blank; a name has at least one character",
            "line 3: batch_size: 'x' is not a whole number",
        ],
    ),
}


@pytest.mark.parametrize(("content", "expected"), BROKEN.values(), ids=BROKEN)
def test_every_fault_is_named_exactly(folder, faults_of, content, expected):
    (folder / "profiles.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert faults_of(lambda: read_profiles("profiles.csv")) == [f"profiles.csv: {each}" for each in expected]


def test_damaged_parquet(folder, faults_of):
    (folder / "profiles.parquet").write_bytes(b"PAR1" + b"x" * 40)
    (fault,) = faults_of(lambda: read_profiles("profiles.parquet"))
    assert fault.startswith("profiles.parquet: is not Parquet: ")
    assert "\n" not in fault


def test_parquet_without_its_client(table, monkeypatch, faults_of):
    write_profiles("profiles.parquet", table)
    monkeypatch.delitem(sys.modules, "inferline.files.profile_file.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert faults_of(lambda: read_profiles("profiles.parquet")) == [
        "Parquet files need PyArrow; install inferline[parquet], or use CSV"
    ]


def test_where_it_cannot_be_written(table, faults_of):
    assert faults_of(lambda: write_profiles("nowhere/profiles.csv", table)) == [
        "nowhere/profiles.csv: cannot be written: No such file or directory"
    ]
