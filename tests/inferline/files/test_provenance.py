"""What speaks against planning with measured profiles: environments, age, confidence, rows cut short, co-location."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferline.domain import Profile
from inferline.files import ProfileTable, read_profile_table
from inferline.files.profile_file.provenance import colocation_remark, profile_concerns

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
COLUMNS = (
    "model,hardware,batch_size,latency_mean_s,latency_p99_s,latency_mean_ci_s,latency_p99_low_s,latency_p99_high_s,"
    "stopped,measured_at,colocated,colocated_slowdown,source"
)
HERE, THERE = "env-0123456789", "env-abcdef0123"
EVERYTHING = [("rank", "cpu-1"), ("rank", "k80"), ("nmt", "cpu-1"), ("nmt", "k80")]


@pytest.fixture
def table(folder):
    """Make a table of rows: 1 ms of latency, 2 ms of P99, and the cells of other columns."""

    def make(*rows: tuple[str, dict[str, str]]) -> ProfileTable:
        lines = []
        for number, (where, more) in enumerate(rows, start=1):
            model, hardware = where.split(" on ")
            usual = {"latency_mean_s": "0.001", "latency_p99_s": "0.002", "source": HERE}
            cells = {"model": model, "hardware": hardware, "batch_size": str(number), **usual, **more}
            lines.append(",".join(cells.get(column, "") for column in COLUMNS.split(",")))
        (folder / "measured.csv").write_text("\n".join([COLUMNS, *lines, ""]))
        return read_profile_table("measured.csv")

    return make


def concerns(table: ProfileTable, used=EVERYTHING) -> list[str]:
    return profile_concerns(table, used, NOW)


def test_profiles_from_elsewhere_and_well_measured_ones_are_no_concern(table):
    fine = {
        "latency_mean_ci_s": "0.00002",
        "latency_p99_low_s": "0.0019",
        "latency_p99_high_s": "0.0021",
        "stopped": "precise",
        "measured_at": "2026-11-21T11:00:00Z",
    }
    assert concerns(table(("rank on cpu-1", fine), ("rank on cpu-1", {**fine, "stopped": "budget"}))) == []
    assert concerns(table(("rank on cpu-1", {"source": "paper"}), ("rank on cpu-1", {"source": "env-xyz"}))) == []
    assert colocation_remark(table(("rank on cpu-1", fine)), EVERYTHING) == ""


def test_rows_of_one_hardware_from_several_environments(table):
    mixed = table(
        ("rank on cpu-1", {}),
        ("rank on cpu-1", {}),
        ("nmt on cpu-1", {"source": THERE}),
        ("nmt on cpu-1", {"source": "vendor's table"}),
        ("rank on k80", {"source": "env-9999999999"}),
    )
    assert concerns(mixed) == [
        "profiles on cpu-1 were measured in 2 environments (env-0123456789: 2 rows and env-abcdef0123: 1 row); "
        "measure all in one: inferline profile ... --hardware cpu-1 --resume"
    ]
    assert concerns(mixed, [("nmt", "cpu-1"), ("rank", "k80")]) == []


def test_environments_mixed_within_a_profile_are_named(table):
    (said,) = concerns(
        table(
            ("rank on k80", {}),
            ("rank on k80", {"source": THERE}),
            ("nmt on k80", {"source": THERE}),
        )
    )
    assert "(env-abcdef0123: 2 rows and env-0123456789: 1 row), mixed within rank; measure all in one" in said


def test_old_rows_are_counted_and_the_oldest_named(table):
    def aged(days: float) -> dict[str, str]:
        return {"measured_at": (NOW - timedelta(days=days)).isoformat(timespec="seconds")}

    old = table(("rank on k80", aged(89)), ("rank on k80", aged(91)), ("nmt on k80", aged(200)), ("nmt on k80", {}))
    assert concerns(old) == [
        "2 rows were measured more than 90 days ago, the oldest (nmt on k80, batch size 3) on 2026-05-05; "
        "measure again: inferline profile ..., without --resume"
    ]
    assert concerns(old, [("rank", "k80")])[0].startswith("1 row was measured more than 90 days ago")


@pytest.mark.parametrize(
    ("written", "concerned"),
    [
        ("2026-01-01T00:00:00Z", True),
        ("2026-01-01T00:00:00", True),
        ("2026-01-01", True),
        (" 2026-01-01 00:00:00+02:00 ", True),
        ("2027-01-01T00:00:00Z", False),
        ("last spring", False),
        ("20260101T", False),
        ("", False),
    ],
)
def test_instants_are_read_as_far_as_they_are_instants(table, written, concerned):
    assert bool(concerns(table(("rank on k80", {"measured_at": written})))) is concerned


def test_the_zone_of_now_does_not_matter(table):
    old = table(("rank on k80", {"measured_at": "2026-01-01T00:00:00Z"}))
    elsewhere = NOW.astimezone(timezone(timedelta(hours=9)))
    assert profile_concerns(old, EVERYTHING, elsewhere) == concerns(old)


def test_poorly_known_rows_are_counted_and_the_worst_named(table):
    def known(mean_s: str, low_s: str, high_s: str) -> tuple[str, dict[str, str]]:
        cells = {"latency_mean_ci_s": mean_s, "latency_p99_low_s": low_s, "latency_p99_high_s": high_s}
        return "rank on cpu-1", cells

    wide = table(
        known("0.00005", "0.0015", "0.0025"),
        known("0.00006", "", ""),
        known("0.00001", "0.001", "0.003"),
        known("?", "0.001", ""),
    )
    assert concerns(wide) == [
        "2 rows were not measured well, the worst rank on cpu-1, batch size 3 (mean within 1% and P99 within 50%); "
        "measure longer: inferline profile ..., with a larger --budget"
    ]


def test_rows_that_were_cut_short(table):
    cut = table(
        ("rank on cpu-1", {}), ("rank on cpu-1", {"stopped": "unfinished"}), ("nmt on k80", {"stopped": "no"})
    )
    assert concerns(cut) == [
        "1 row was not measured to the end, the first rank on cpu-1, batch size 2; "
        "measure the rest: inferline profile ... --resume"
    ]


TEXTS = st.text(max_size=12) | st.floats().map(str) | st.datetimes(timezones=st.timezones()).map(str)


@given(st.lists(TEXTS, min_size=6, max_size=6))
def test_any_text_may_stand_in_the_columns(cells):
    profile = Profile(
        model="m",
        hardware="h",
        batch_size=np.array([1]),
        latency_mean_s=np.array([0.1]),
        latency_p99_s=np.array([0.1]),
    )
    names = COLUMNS.split(",")[5:-2]
    extra = {name: (cell,) for name, cell in zip(names, cells, strict=True)}
    said = profile_concerns(ProfileTable(profiles={("m", "h"): profile}, extra=extra), [("m", "h")], NOW)
    assert all("\n" not in each for each in said)


def test_all_concerns_come_in_one_order(table):
    bad = {"measured_at": "2020-01-01", "latency_mean_ci_s": "0.001", "stopped": "unfinished"}
    said = concerns(table(("rank on cpu-1", bad), ("nmt on cpu-1", {**bad, "source": THERE})))
    assert [each.split(";")[0].split(", the")[0] for each in said] == [
        "profiles on cpu-1 were measured in 2 environments (env-0123456789: 1 row and env-abcdef0123: 1 row)",
        "2 rows were measured more than 90 days ago",
        "2 rows were not measured well",
        "2 rows were not measured to the end",
    ]


def test_colocation_says_how_many_replicas_and_how_much_slower(table):
    shared = table(
        ("rank on cpu-1", {"colocated": "4", "colocated_slowdown": "1.118"}),
        ("nmt on cpu-1", {"colocated": "4", "colocated_slowdown": "1.309"}),
        ("nmt on k80", {"colocated": "2", "colocated_slowdown": "1.05"}),
        ("nmt on k80", {}),
    )
    assert colocation_remark(shared, EVERYTHING) == (
        "planned with profiles measured while 2 to 4 replicas shared the machine "
        "(cpu-1: slowdown 1.12 to 1.31, k80: slowdown 1.05)"
    )
    assert colocation_remark(shared, [("rank", "cpu-1")]) == (
        "planned with profiles measured while 4 replicas shared the machine (cpu-1: slowdown 1.12)"
    )
    unnumbered = table(("rank on cpu-1", {"colocated": "some", "colocated_slowdown": "1.5"}))
    assert "while several replicas shared" in colocation_remark(unnumbered, EVERYTHING)
