"""A small pipeline file and a plan of it, on disk."""

from __future__ import annotations

import json

import pytest

PIPELINE = """\
version: 1
name: small
slo: {latency: 150ms, percentile: 99}
profiles: profiles.csv
hardware:
  cpu: {price: $0.05/h}
  gpu: {price: $0.50/h, limit: 2, cpus: 2, isolation: gvisor}
stages:
  read: {model: reader, after: [detect]}
  detect: {model: detector}
models:
  detector: {onnx: models/d.onnx, sample: pages.jsonl}
  reader: {callable: "served:read", input_type: strings}
workload:
  generate: {arrivals: even, rate: 1, duration: 10s}
"""


def plan_of(detect=("cpu", 2, 4), read=("gpu", 1, 8), **more):
    stages = {
        name: {"model": model, "hardware": of[0], "replicas": of[1], "max_batch": of[2]}
        for name, model, of in (("detect", "detector", detect), ("read", "reader", read))
    }
    return {"version": 1, "stages": stages, **more}


@pytest.fixture
def plan():
    """Return a function: a plan from (hardware, replicas, maximum batch size) of each stage."""
    return plan_of


@pytest.fixture
def written(tmp_path):
    """Return a function: writes a pipeline file and a plan, and returns where."""

    def write(pipeline=PIPELINE, plan=None):
        (tmp_path / "pipeline.yaml").write_text(pipeline)
        (tmp_path / "plan.json").write_text(json.dumps(plan_of() if plan is None else plan))
        return tmp_path / "pipeline.yaml", tmp_path / "plan.json"

    return write


@pytest.fixture
def pipeline_text():
    return PIPELINE
