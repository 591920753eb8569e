"""Examples that can be measured here are committed with what was measured, whole, and plan from it as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inferline.files import load, read_pipeline, read_profile_table
from planner import Found, pose, search

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", ["document-ocr", "text-search"])
class TestExample:
    def test_plans(self, name):
        inputs = load(EXAMPLES / name / "pipeline.yaml")
        answer = search(pose(inputs.pipeline, inputs.profiles, inputs.trace), "exact")
        assert isinstance(answer, Found)
        assert set(answer.configuration) == {stage.name for stage in inputs.pipeline.stages}

    def test_every_stage_is_measured_on_what_it_may_use(self, name):
        pipeline = read_pipeline(EXAMPLES / name / "pipeline.yaml").pipeline
        profiles = read_profile_table(EXAMPLES / name / "profiles.csv").profiles
        assert set(profiles) == {(stage.model, hardware) for stage in pipeline.stages for hardware in stage.hardware}

    def test_every_row_says_where_it_was_measured(self, name):
        records = json.loads((EXAMPLES / name / "profiles.environments.json").read_text(encoding="utf-8"))
        profiles = read_profile_table(EXAMPLES / name / "profiles.csv").profiles.values()
        assert {source for profile in profiles for source in profile.source} <= set(records)
        assert all(record["machine"]["cpu"] and record["software"]["python"] for record in records.values())
