"""Profiles: latency at and between the profiled batch sizes, in exact nanoseconds."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.domain import SERVICE_TIMES, Profile


def profile(latency_s: dict[int, float], **columns) -> Profile:
    return Profile(
        model="m",
        hardware="cpu",
        batch_size=np.array(list(latency_s)),
        latency_mean_s=np.array(list(latency_s.values())),
        **{name: np.array(column) for name, column in columns.items()},
    )


def test_latency_is_interpolated_between_sizes_and_flat_below_the_smallest():
    table = profile({2: 0.010, 4: 0.020, 8: 0.022}).batch_latency_ns(8)
    assert table.tolist() == [
        10_000_000,
        10_000_000,
        15_000_000,
        20_000_000,
        20_500_000,
        21_000_000,
        21_500_000,
        22_000_000,
    ]
    assert table.dtype == np.int64


def test_latency_is_rounded_up_but_never_by_the_error_of_a_double():
    # The double nearest to 0.07 times 1e9 is 70000000.00000001.
    assert profile({1: 0.07}).batch_latency_ns(1).tolist() == [70_000_000]
    assert profile({1: 0.29, 3: 0.57}).batch_latency_ns(3).tolist() == [290_000_000, 430_000_000, 570_000_000]
    assert profile({1: 1e-9, 4: 2e-9}).batch_latency_ns(4).tolist() == [1, 2, 2, 2]
    assert profile({1: 1e-15}).batch_latency_ns(1).tolist() == [1]


@settings(deadline=None)
@given(
    st.dictionaries(st.integers(1, 40), st.decimals("0.000001", "9", places=12), min_size=1, max_size=6),
    st.data(),
)
def test_latency_agrees_with_the_line_in_fractions(points, data):
    sizes = sorted(points)
    latency = {size: Fraction(points[size]) for size in sizes}
    made = profile({size: float(points[size]) for size in sizes})
    max_batch = data.draw(st.integers(1, sizes[-1]))
    for batch, nanoseconds in enumerate(made.batch_latency_ns(max_batch).tolist(), start=1):
        left = max((size for size in sizes if size <= batch), default=sizes[0])
        right = min(size for size in sizes if size >= batch)
        slope = (latency[right] - latency[left]) / (right - left) if left < right else 0
        expected = latency[left] + slope * (batch - left) if batch >= sizes[0] else latency[sizes[0]]
        assert nanoseconds == max(1, math.ceil(expected * 10**9))


def test_the_named_column_is_taken():
    made = profile({1: 0.01, 2: 0.02}, latency_p99_s=[0.03, 0.05])
    assert made.batch_latency_ns(2, "p99").tolist() == [30_000_000, 50_000_000]
    assert [name for name in SERVICE_TIMES if made.has(name)] == ["mean", "p99"]
    assert np.isnan(made.load_s).all()
    with pytest.raises(ValueError, match="latency_p95_s has gaps"):
        made.batch_latency_ns(1, "p95")
    assert not profile({1: 0.01, 2: 0.02}, latency_p50_s=[0.01, np.nan]).has("p50")


def test_a_hop_is_the_batch_with_the_way_to_the_replica_and_back():
    made = profile({1: 0.01, 2: 0.02}, hop_mean_s=[0.011, 0.0215], hop_p99_s=[0.04, np.nan])
    assert made.batch_latency_ns(2, "hop_mean").tolist() == [11_000_000, 21_500_000]
    assert made.latency_s("hop_p99")[0] == 0.04
    assert [name for name in SERVICE_TIMES if made.has(name)] == ["mean", "hop_mean"]
    with pytest.raises(ValueError, match="hop_p99_s has gaps"):
        made.batch_latency_ns(1, "hop_p99")


def test_a_measured_slowdown_multiplies_the_latency_of_its_row_before_interpolating():
    made = profile(
        {2: 0.010, 4: 0.020, 6: 0.030}, latency_p99_s=[0.1, 0.1, 0.1], colocated_slowdown=[1.1, 1.3, np.nan]
    )
    assert made.slowdown.tolist() == [1.1, 1.3, 1.0]
    assert made.batch_latency_ns(6).tolist() == [
        11_000_000,
        11_000_000,
        18_500_000,
        26_000_000,
        28_000_000,
        30_000_000,
    ]
    assert made.batch_latency_ns(4, "p99").tolist() == [110_000_000, 110_000_000, 120_000_000, 130_000_000]
    assert made.latency_s().tolist() == [0.010, 0.020, 0.030]
    # The doubles' product is 0.36300000000000004 s.
    assert profile({1: 0.33}, colocated_slowdown=[1.1]).batch_latency_ns(1).tolist() == [363_000_000]
    # Sharing may even help, when it keeps the clock up.
    assert profile({1: 0.5}, colocated_slowdown=[0.9]).batch_latency_ns(1).tolist() == [450_000_000]


@pytest.mark.parametrize("max_batch", [0, 9, -1])
def test_sizes_beyond_the_profile_are_refused(max_batch):
    with pytest.raises(ValueError, match=f"no batch size {max_batch}"):
        profile({1: 0.01, 8: 0.02}).batch_latency_ns(max_batch)


@pytest.mark.parametrize(
    ("latency_s", "columns", "message"),
    [
        ({}, {}, "must ascend"),
        ({0: 1.0}, {}, "must ascend from at least 1"),
        ({2: 1.0, 1: 1.0}, {}, "must ascend"),
        ({1: 0.0}, {}, "latency_mean_s must be positive where given"),
        ({1: np.nan}, {}, "latency_mean_s"),
        ({1: np.inf}, {}, "latency_mean_s"),
        ({1: 1.0}, {"load_s": [1.0, 2.0]}, "load_s has the wrong length"),
        ({1: 1.0}, {"latency_p99_s": [-0.1]}, "latency_p99_s must be positive where given"),
        ({1: 1.0}, {"latency_p50_s": [np.inf]}, "latency_p50_s must be positive where given"),
        ({1: 1.0}, {"hop_p50_s": [0.0]}, "hop_p50_s must be positive where given"),
        ({1: 1.0}, {"colocated_slowdown": [0.0]}, "colocated_slowdown must be positive where given"),
        ({1: 1.0}, {"colocated_slowdown": [np.inf]}, "colocated_slowdown must be positive where given"),
        ({1: 1.0}, {"colocated_slowdown": [5e9]}, "latency_mean_s must be positive where given"),
    ],
)
def test_what_is_no_profile_is_refused(latency_s, columns, message):
    with pytest.raises(ValueError, match=message):
        profile(latency_s, **columns)


def test_columns_and_tables_are_read_only():
    made = profile({1: 0.01})
    for column in (made.batch_size, made.latency_mean_s, made.load_s, made.batch_latency_ns(1)):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 5
