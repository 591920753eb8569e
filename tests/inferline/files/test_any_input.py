"""Whatever the files hold, the answer is a value or an `InputError` with faults of one line each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from inferline.errors import InputError
from inferline.files import load, read_configuration, read_pipeline, read_profiles, schema
from inferline.files.documents.yaml_document import parse_yaml

PROFILES = "model,hardware,batch_size,latency_mean_s\na,c,1,0.1\na,g,4,0.2\nb,c,2,0.05\n"
PIPELINE = """\
version: 1
name: p
slo: {latency: 300ms, percentile: 99}
profiles: profiles.csv
hardware: {c: {price: $1/h, limit: 9}, g: {price: 2, cpus: 1, accelerator: t4, accelerators: 1}}
stages:
  s: {model: a}
  t: {model: b, after: [{stage: s, probability: 0.4, choice: k}], hardware: [c], max_batch: 16}
  u: {model: a, after: [s, {stage: t}], replicas: {min: 1, max: 4}}
workload: {trace: trace.csv, scale: 2, sample: 50%, spread: gamma, cv2: 2, seed: 1}
models: {a: {callable: "m:f"}, b: {http: "http://h/", device: auto}}
seed: 0
planner: {service_time: mean}
"""
GENERATED = "{arrivals: square, low_rate: 5, high_rate: 30, period: 2s, duty: 0.5, duration: 10s, seed: 1}"
PLAN = {
    "version": 1,
    "stages": {
        name: {"model": model, "hardware": "c", "max_batch": 1, "replicas": 1}
        for name, model in {"s": "a", "t": "b", "u": "a"}.items()
    },
}

WORDS = (
    *("s", "t", "u", "c", "g", "a", "b", "k", "mean", "p99", "gamma", "poisson", "markov", "ramp", "square", "even"),
    *("1s", "0s", "1ns", "300ms", "1e9h", "$1/h", "50%", "0%", "101%", "-1", "1e99", "no", "on", "~", ""),
    *("profiles.csv", "trace.csv", ".", "nothere", "http://x", "m:f", "\0", "\ud800"),
)
KEYS = (
    *("stage", "model", "after", "hardware", "limit", "price", "replicas", "min", "max", "trace", "generate", "when"),
    *("rate", "rates", "stays", "duration", "peak", "scale", "seed"),
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 1000),
    st.sampled_from([10**18, 2**63, 2**64, 10**30, -(10**30), 1e-300, 5e-324, 1e300, float("inf"), float("nan")]),
    st.floats(-2, 1000),
    st.text(max_size=5),
    st.sampled_from(WORDS),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | scalars, inner, max_size=3),
    max_leaves=4,
)
names = st.sampled_from(KEYS) | st.text(max_size=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("any")
    (folder / "profiles.csv").write_text(PROFILES)
    (folder / "trace.csv").write_text("second,requests\n0,2\n1,0\n2,3\n")
    return folder


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, value in inside for place in places(value, (*path, key)))]


@st.composite
def mutated(draw: st.DrawFn, documents: st.SearchStrategy[Any]) -> Any:
    """A document with one to three of its values replaced, removed, or joined by another."""
    document = draw(documents)
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from(places(document)[1:] or [(0,)]))
        node = document
        for key in path:
            node = node[key]
        action = draw(st.sampled_from(["replace", "remove", "add"]))
        if not isinstance(node, dict | list) or not node:
            break
        if action == "remove":
            del node[last]
        elif action == "add" and isinstance(node, dict):
            node[draw(names)] = draw(values)
        else:
            node[last] = draw(values)
    return document


def answer(read: Callable[[], object]) -> object:
    """Return what is read, or nothing after looking at the faults."""
    try:
        return read()
    except InputError as error:
        texts = [str(fault) for fault in error.faults]
        assert texts
        assert all(text.isprintable() and len(text) < 1000 for text in texts)
        assert len(set(texts)) == len(texts)
        return None


pipelines = st.sampled_from([PIPELINE, PIPELINE.replace("trace: trace.csv", f"generate: {GENERATED}")])


@given(document=mutated(pipelines.map(yaml.safe_load)))
@settings(max_examples=400, deadline=None)
def test_any_document(folder, document):
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    (folder / "pipeline.yaml").write_bytes(text.encode("utf-8", errors="surrogatepass"))
    if answer(lambda: read_pipeline(folder / "pipeline.yaml")) is not None:
        Draft202012Validator(schema()).validate(parse_yaml("pipeline.yaml", text)[0])
    answer(lambda: load(folder / "pipeline.yaml"))


@given(
    begin=st.integers(0, len(PIPELINE)),
    size=st.integers(0, 9),
    text=st.text("[]{}&*!|>-:,?#%@`'\"\n\t a0.~<", max_size=6),
)
@settings(max_examples=400, deadline=None)
def test_any_text(folder, begin, size, text):
    (folder / "pipeline.yaml").write_text(PIPELINE[:begin] + text + PIPELINE[begin + size :])
    answer(lambda: load(folder / "pipeline.yaml"))


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"version: 1\n", b"\xef\xbb\xbf", b"{", b"model,hardware\n", b"PAR1"]),
)
@settings(max_examples=200, deadline=None)
def test_any_bytes(folder, data, begin):
    path = folder / "bytes"
    path.write_bytes(begin + data)
    pipeline = read_pipeline_of(folder)
    answer(lambda: read_pipeline(path))
    answer(lambda: read_profiles(path))
    answer(lambda: read_configuration(path, pipeline, {}))


@given(st.lists(st.lists(scalars.map(str), min_size=4, max_size=4), max_size=4))
@settings(max_examples=200, deadline=None)
def test_any_profile_rows(folder, rows):
    text = PROFILES + "".join(",".join(row) + "\n" for row in rows)
    path = folder / "rows.csv"
    path.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    answer(lambda: read_profiles(path))


@given(document=mutated(st.builds(lambda: json.loads(json.dumps(PLAN)))))
@settings(max_examples=200, deadline=None)
def test_any_plan(folder, document):
    pipeline = read_pipeline_of(folder)
    (folder / "plan.json").write_text(json.dumps(document, default=str, skipkeys=True))
    answer(lambda: read_configuration(folder / "plan.json", pipeline, read_profiles(folder / "profiles.csv")))


def read_pipeline_of(folder: Path) -> Any:
    (folder / "good.yaml").write_text(PIPELINE)
    return read_pipeline(folder / "good.yaml").pipeline
