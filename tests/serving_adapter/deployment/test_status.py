"""How a pipeline is doing, put together from what its core and its target say."""

from __future__ import annotations

import math

import pytest
import yaml

from inferline.errors import OutsideError
from serving_adapter.deployment.looks import Attainment, Look, PipelineLook, VersionLook
from serving_adapter.deployment.status import SetStatus, TargetView, status_of
from serving_adapter.replicas import Replica, SetKey

DETECT = SetKey("detect", "1", "cpu")


@pytest.fixture
def record(pipeline_text, plan):
    stages = {
        "detect": {"model": "small.detect", "version": "1", "max_batch": 4, "replicas": 2},
        "read": {"model": "small.read", "version": "2", "max_batch": None, "replicas": 0},
    }
    return {"name": "small", "pipeline": yaml.safe_load(pipeline_text), "plan": plan(), "stages": stages}


def look(*, answered=0, busy_s=0.0, within=None, defaults=0, queued=0):
    version = VersionLook(queued=queued, replicas=2, idle=1, answered=answered, busy_s=busy_s)
    pipelines = {} if within is None else {"small": PipelineLook(within=within, defaults=defaults)}
    return Look(versions={("small.detect", "1"): version}, pipelines=pipelines)


def test_what_the_core_says(record):
    before = look(answered=100, busy_s=10.0, within={0.1: 90, 0.2: 100, math.inf: 100})
    now = look(answered=140, busy_s=13.0, within={0.1: 100, 0.2: 130, math.inf: 140}, defaults=4, queued=3)
    seen = status_of(record, before, now, 2.0, None)
    assert (seen.name, seen.slo.latency_ns) == ("small", 150_000_000)
    assert seen.whole == Attainment(queries=140, least=96 / 140, most=130 / 140)
    assert seen.recent == Attainment(queries=40, least=6 / 40, most=30 / 40)
    detect, read = seen.stages
    assert (detect.name, detect.model, detect.version, detect.max_batch) == ("detect", "detector", "1", 4)
    assert (detect.observed, detect.queued, detect.rate_qps) == (2, 3, 20.0)
    assert detect.utilisation == pytest.approx(0.75)  # 3 s of batches in 2 s of 2 replicas
    assert detect.sets == (
        SetStatus(version="1", hardware="cpu", planned=2, requested=None, phases={}, restarts=0, messages=()),
    )
    assert (read.max_batch, read.observed, read.rate_qps, read.utilisation) == (None, 0, 0.0, None)


def test_what_the_target_says(record):
    leftover = SetKey("detect", "0", "gpu")
    view = TargetView(
        requested={DETECT: 3, leftover: 1},
        replicas=[
            Replica(id="a", key=DETECT, phase="ready", restarts=1),
            Replica(id="b", key=DETECT, phase="failed", restarts=4, message="exit code 1"),
            Replica(id="c", key=leftover, phase="stopping"),
            Replica(id="d", key=DETECT, phase="failed", message="exit code 1"),
        ],
    )
    detect, read = status_of(record, look(), look(), 1.0, view).stages
    assert detect.sets == (
        SetStatus(
            version="1",
            hardware="cpu",
            planned=2,
            requested=3,
            phases={"ready": 1, "failed": 2},
            restarts=5,
            messages=("b, d failed: exit code 1",),
        ),
        SetStatus(
            version="0", hardware="gpu", planned=0, requested=1, phases={"stopping": 1}, restarts=0, messages=()
        ),
    )
    assert [(each.planned, each.requested) for each in read.sets] == [(1, 0)]


def test_stages_that_are_to_go_are_not_hidden(record):
    gone, other = SetKey("old", "1", "cpu"), SetKey("old", "2", "cpu")
    replicas = [Replica(id="o", key=gone, phase="ready"), Replica(id="p", key=other, phase="stopping")]
    seen = status_of(record, look(), look(), 2.0, TargetView(requested={DETECT: 2, gone: 1}, replicas=replicas))
    assert [stage.name for stage in seen.stages] == ["detect", "read"]
    assert {
        name: [(each.version, each.requested, each.phases) for each in sets] for name, sets in seen.others.items()
    } == {"old": [("1", 1, {"ready": 1}), ("2", 0, {"stopping": 1})]}
    assert status_of(record, look(), look(), 2.0, None).others == {}


def test_a_core_that_began_anew_between_two_looks_has_no_rates(record):
    seen = status_of(record, look(answered=100, busy_s=50.0), look(answered=3, busy_s=1.0), 2.0, None)
    assert (seen.stages[0].rate_qps, seen.stages[0].utilisation) == (None, None)


def test_no_query_is_no_share(record):
    seen = status_of(record, look(), look(), 2.0, None)
    assert (seen.whole, seen.recent) == (None, None)


def test_what_cannot_be_read_is_said(record):
    with pytest.raises(OutsideError, match=r"pipeline 'small' is registered in a way that cannot be read: .*slo"):
        status_of({**record, "pipeline": {**record["pipeline"], "slo": 5}}, look(), look(), 1.0, None)
