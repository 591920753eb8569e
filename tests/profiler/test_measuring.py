"""Whole measurements of tiny models."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest

from inferline.errors import OutsideError
from profiler.failures import MemoryExhausted
from profiler.measuring import measure
from profiler.results import Limits
from serving_adapter.machine import this_machine

FRAMES = [b"1", b"2", b"3"]


def run(target, *, observed=None, done=(), tell=None, **limits):
    seen = [] if observed is None else observed
    told = [] if tell is None else tell
    given = Limits(**{"budget_s": 0.4, **limits})
    return measure(target, FRAMES, this_machine(), given, seen.append, done, told.append), seen


def sizes(measurement):
    return [row.batch_size for row in measurement.rows]


def test_a_known_latency_is_found_and_every_row_is_closed(target_of):
    measurement, seen = run(target_of("affine", max_batch=6))
    assert sizes(measurement) == [1, 2, 4, 6]
    assert (measurement.ended, measurement.finished, measurement.time_left_s) == ("max_batch", True, 0.0)
    for row in measurement.rows:
        truth_s = 0.002 + 0.0002 * row.batch_size
        assert truth_s <= row.latency_p50_s < 4 * truth_s  # other processes may be on the core
        assert truth_s <= row.latency_mean_s
        assert row.latency_p50_s <= row.latency_p95_s <= row.latency_p99_s
        assert row.hop_mean_s > row.latency_mean_s
        assert row.throughput_qps == pytest.approx(row.batch_size / row.latency_mean_s)
        assert row.stopped in {"precise", "budget"}
        assert row.latency_mean_ci_s > 0
        assert row.source == measurement.environment["id"]
        samples = measurement.samples[row.batch_size]
        assert row.samples == samples.counted.sum() >= 3
        assert not samples.counted[0]
        assert np.all(np.diff(samples.at_s) > 0)
        assert np.median(samples.hop_s - samples.latency_s) > 0
    assert measurement.environment["replica"] == {"device": ""}
    assert seen[-1] is measurement


def test_rows_are_shown_from_the_first_step_on_and_measured_in_turn(target_of):
    measurement, seen = run(target_of("affine", max_batch=4))
    assert sizes(seen[0])[0] == 1
    assert {row.stopped for row in seen[0].rows} == {"unfinished"}
    assert seen[0].time_left_s > 0
    assert not any(each.finished for each in seen[:-1])
    # What was sent when: after the ramp every round has each open row once.
    sent = sorted((at_s, size) for size, samples in measurement.samples.items() for at_s in samples.at_s)
    turns = [size for size, _ in groupby(size for _, size in sent)]
    assert turns[:3] == [1, 2, 4]
    rounds = [size for _, size in sent]
    assert len(rounds) > len(turns) >= 9
    # However short the measurement is, no row is measured in one piece.
    assert all(turns.count(size) >= 3 for size in (1, 2, 4))


def test_the_ramp_stops_where_throughput_does(target_of):
    measurement, _ = run(target_of("flat"), budget_s=0.1)
    assert measurement.ended == "throughput"
    assert sizes(measurement)[:3] == [1, 2, 4]
    assert len(measurement.rows) <= 8  # noise may look like a rise once or twice


def test_a_start_up_transient_does_not_count(target_of):
    measurement, _ = run(target_of("slow_first", max_batch=1), budget_s=0.6)
    (row,) = measurement.rows
    samples = measurement.samples[1]
    assert not samples.counted[:5].any()
    assert samples.latency_s[:5].min() >= 0.02
    assert row.latency_mean_s < 0.015


def test_memory_that_runs_out_ends_the_ramp_at_the_last_good_size(target_of):
    told = []
    measurement, _ = run(target_of("no_memory_at_4"), budget_s=0.2, tell=told)
    assert measurement.ended == "memory"
    assert sizes(measurement) == [1, 2]
    assert {row.stopped for row in measurement.rows} <= {"precise", "budget"}
    assert [message.partition(":")[0] for message in told] == [
        "model 'no_memory_at_4' on 'cpu-1' failed at batch size 4"
    ]
    # Those after it are of a fresh replica, and those of the first one do not count.
    samples = measurement.samples[1]
    assert not samples.counted[0]
    assert samples.counted[-1]
    assert np.all(np.diff(samples.at_s) > 0)


def test_memory_for_not_even_one_is_fatal(target_of):
    seen = []
    with pytest.raises(MemoryExhausted, match="at batch size 1: memory ran out"):
        run(target_of("no_memory"), observed=seen)
    assert seen == []


def test_what_was_measured_before_a_failure_has_been_observed(target_of):
    seen = []
    with pytest.raises(OutsideError, match="'fails_at_8' on 'cpu-1' failed at batch size 8: raised LookupError"):
        run(target_of("fails_at_8"), observed=seen)
    assert sizes(seen[-1]) == [1, 2, 4]
    assert not seen[-1].finished
    assert all(row.latency_mean_s > 0 for row in seen[-1].rows)


def test_ctrl_c_shows_what_there_is_and_goes_on(target_of):
    seen = []

    def observe(measurement):
        seen.append(measurement)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(target_of("affine"), FRAMES, this_machine(), Limits(), observe)
    assert len(seen) == 3
    assert seen[-1].rows
    assert not seen[-1].finished


def test_sizes_that_are_done_get_no_row(target_of):
    measurement, _ = run(target_of("affine", max_batch=4), done={1, 4}, budget_s=0.1)
    assert sizes(measurement) == [2]
    assert list(measurement.samples) == [2]
    assert measurement.ended == "max_batch"


def test_replicas_side_by_side_are_compared_with_one_alone(target_of):
    measurement, seen = run(target_of("affine", max_batch=2), budget_s=0.2, colocated=2)
    assert [row.colocated for row in measurement.rows] == [2, 2]
    for row in measurement.rows:
        assert row.colocated_slowdown is not None
        assert 0.1 < row.colocated_slowdown < 10  # sleepers do not get into each other's way
    rows = [row for each in seen for row in each.rows]
    assert any(row.colocated is None for row in rows)
    assert all(not math.isnan(row.latency_mean_s) for row in rows)


ROOM_FOR_TWO = """
import os
import pathlib

here = pathlib.Path(__file__).parent
full = len(list(here.glob("started-*"))) >= 2
(here / f"started-{os.getpid()}").touch()

def predict(inputs):
    if full:
        raise MemoryError
    return inputs
"""


def test_replicas_that_do_not_fit_side_by_side_leave_the_rows_as_they_are(target_of, tmp_path):
    # The replica that is measured alone comes first, then the first of the two: the third in all does not fit.
    (tmp_path / "room_for_two.py").write_text(ROOM_FOR_TWO)
    target = target_of("echo", max_batch=1)
    target = replace(target, entry=replace(target.entry, target="room_for_two:predict"))
    told = []
    measurement, _ = run(target, budget_s=0.1, colocated=2, tell=told)
    assert measurement.finished
    assert [row.colocated for row in measurement.rows] == [None]
    assert "2 replicas do not fit side by side" in told[0]
