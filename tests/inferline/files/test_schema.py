"""The JSON Schema of pipeline.yaml: correct in itself, described, and never stricter than the reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from inferline.domain import SERVICE_TIMES
from inferline.files import read_pipeline, schema
from inferline.files.documents.yaml_document import parse_yaml

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*/pipeline.yaml"))
VARIANTS = {
    "as it is": (),
    "generated": (
        ("trace: trace.csv.gz", "generate: {arrivals: gamma, rate: 150, cv2: 4, duration: 10min, seed: 1}"),
    ),
    "markov": (
        ("trace: trace.csv.gz", "generate: {arrivals: markov, rates: [50, 400], stays: [30s, 5], duration: 10 min}"),
    ),
    "nothing for a key": (("trace: trace.csv.gz", "trace: trace.csv.gz\n  generate:\n  scale: ~"),),
    "a fixed price": (("$0.0665/h", "0.0665"), ("300ms", "0.3"), ("25%", "0.25")),
    "choices": (("probability: 0.4", "probability: 1, choice: kind, when: output.score > 0.5"),),
    "hops": (("service_time: mean", "service_time: hop_p99"),),
    "spread": (("sample: 25%", "spread: gamma\n  cv2: 8\n  seed: 3"),),
    "several profiles": (("profiles: profiles.csv", "profiles: [a.csv, b.parquet]"),),
    "own keys of a model": (("input_type: strings", "input_type: strings, env: {A: [1]}"),),
}


def test_it_is_a_schema_with_descriptions():
    document = schema()
    Draft202012Validator.check_schema(document)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    objects = [document, *document["$defs"].values()]
    assert all(each["description"] for each in objects)
    assert all(key["description"] for each in objects for key in each["properties"].values())


def test_it_names_every_service_time():
    planner = schema()["$defs"]["PlannerDocument"]
    assert planner["properties"]["service_time"]["enum"] == list(SERVICE_TIMES)


@pytest.mark.parametrize("edits", VARIANTS.values(), ids=VARIANTS)
def test_what_can_be_read_is_valid(edited, edits):
    edited(*edits)
    assert read_pipeline("pipeline.yaml")
    document, _ = parse_yaml("pipeline.yaml", Path("pipeline.yaml").read_text())
    Draft202012Validator(schema()).validate(document)


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.parent.name for path in EXAMPLES])
def test_the_examples_are_valid(path):
    assert read_pipeline(path)
    document, _ = parse_yaml("pipeline.yaml", path.read_text())
    Draft202012Validator(schema()).validate(document)
