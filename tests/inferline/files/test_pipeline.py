"""What a good pipeline file says."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from pathlib import Path

import pytest

from inferline.domain import SERVICE_TIMES, Edge, Hardware, Slo, Stage
from inferline.domain.arrivals import GENERATORS, SPREADS
from inferline.files import Generate, Workload, read_pipeline
from inferline.files.pipeline_file.generators import GENERAL_KEYS, accepted_keys
from inferline.files.pipeline_file.pipeline_structure import GenerateDocument, PlannerDocument, WorkloadDocument


def test_the_example_of_the_contract(folder, example):
    file = read_pipeline("pipeline.yaml")
    pipeline = file.pipeline
    assert (pipeline.name, pipeline.seed, pipeline.service_time) == ("social-media", 0, "mean")
    assert pipeline.slo == Slo(latency_ns=300_000_000, percentile=Decimal(99))
    assert pipeline.hardware == (
        Hardware(name="cpu-1", price_nano_usd_per_hour=66_500_000),
        Hardware(
            name="k80",
            price_nano_usd_per_hour=700_500_000,
            accelerator="nvidia-k80",
            accelerators=1,
            limit=64,
        ),
    )
    assert pipeline.stages == (
        Stage(name="lang-detect", model="tf-lang-detect", hardware=("cpu-1", "k80")),
        Stage(
            name="translate",
            model="tf-nmt",
            parents=(Edge(parent="lang-detect", probability=0.4),),
            hardware=("cpu-1", "k80"),
        ),
        Stage(
            name="rank",
            model="ranker",
            parents=(Edge(parent="lang-detect"), Edge(parent="translate")),
            hardware=("cpu-1",),
            max_batch=16,
            max_replicas=40,
        ),
    )
    assert file.workload == Workload(trace=Path("trace.csv.gz"), peak=300.0, sample=0.25)
    assert file.profile_paths == (Path("profiles.csv"),)
    assert file.models["ranker"] == {"container": "registry/ranker:3", "input_type": "strings"}
    assert file.sha256 == hashlib.sha256(example.encode()).hexdigest()


def test_paths_are_found_from_the_folder_of_the_pipeline_file(folder, edited, monkeypatch):
    edited(("profiles: profiles.csv", "profiles: [profiles.csv, more/b.parquet]"))
    monkeypatch.chdir(folder.parent)
    file = read_pipeline(Path(folder.name) / "pipeline.yaml")
    assert file.profile_paths == (Path(folder.name) / "profiles.csv", Path(folder.name) / "more/b.parquet")
    assert file.workload.trace == Path(folder.name) / "trace.csv.gz"


def test_edges_with_choices_and_conditions(edited):
    edited(
        ("[{stage: lang-detect, probability: 0.4}]", "[{stage: lang-detect, probability: 0.4, choice: kind}]"),
        (
            "[lang-detect, {stage: translate}]",
            "[{stage: lang-detect, probability: 0.6, choice: kind}, {stage: translate, when: output.score < 0.6}]",
        ),
    )
    rank = read_pipeline("pipeline.yaml").pipeline.stage("rank")
    assert rank.parents == (
        Edge(parent="lang-detect", probability=0.6, choice="kind"),
        Edge(parent="translate", when="output.score < 0.6"),
    )


def test_probabilities_that_sum_to_one_but_for_rounding(edited):
    edited(
        ("[{stage: lang-detect, probability: 0.4}]", "[{stage: lang-detect, probability: 0.1, choice: kind}]"),
        ("[lang-detect, {stage: translate}]", "[{stage: lang-detect, probability: 0.9000000001, choice: kind}]"),
    )
    assert len(read_pipeline("pipeline.yaml").pipeline.stages) == 3


@pytest.mark.parametrize(
    ("written", "percentile"), [("99.9", Decimal("99.9")), ("50", Decimal(50)), ("100", Decimal(100))]
)
def test_percentiles_are_exact(edited, written, percentile):
    edited(("percentile: 99", f"percentile: {written}"))
    assert read_pipeline("pipeline.yaml").pipeline.slo.percentile == percentile


GENERATED = {
    "{arrivals: gamma, rate: 150, cv2: 4, duration: 10min, seed: 1}": Generate(
        arrivals="gamma", duration_ns=600 * 10**9, seed=1, parameters={"rate": 150.0, "cv2": 4.0}
    ),
    "{arrivals: markov, rates: [50, 400], stays: [30s, 5s], duration: 10min}": Generate(
        arrivals="markov",
        duration_ns=600 * 10**9,
        seed=0,
        parameters={"rates": (50.0, 400.0), "stays_ns": (30 * 10**9, 5 * 10**9)},
    ),
    "{arrivals: ramp, start_rate: 10, end_rate: 300, duration: 90}": Generate(
        arrivals="ramp", duration_ns=90 * 10**9, seed=0, parameters={"start_rate": 10.0, "end_rate": 300.0}
    ),
    "{arrivals: square, low_rate: 50, high_rate: 300, period: 20s, duty: 0.5, duration: 1h}": Generate(
        arrivals="square",
        duration_ns=3600 * 10**9,
        seed=0,
        parameters={"low_rate": 50.0, "high_rate": 300.0, "period_ns": 20 * 10**9, "duty": 0.5},
    ),
    "{arrivals: even, rate: 7, duration: 1s}": Generate(
        arrivals="even", duration_ns=10**9, seed=0, parameters={"rate": 7.0}
    ),
}


@pytest.mark.parametrize(
    ("written", "expected"), GENERATED.items(), ids=[each.arrivals for each in GENERATED.values()]
)
def test_generators(edited, written, expected):
    edited(("trace: trace.csv.gz", f"generate: {written}"), ("peak: 300", "scale: 2"))
    workload = read_pipeline("pipeline.yaml").workload
    assert workload == Workload(generate=expected, scale=2.0, sample=0.25)


def test_the_document_knows_what_the_domain_knows():
    parameters = set(GenerateDocument.model_fields) - set(GENERAL_KEYS)
    assert parameters == {key for name in GENERATORS for key in accepted_keys(name)}
    assert set(GenerateDocument.model_fields["arrivals"].annotation.__args__) == set(GENERATORS)
    assert set(WorkloadDocument.model_fields["spread"].annotation.__args__) == set(SPREADS)
    assert set(PlannerDocument.model_fields["service_time"].annotation.__args__) == set(SERVICE_TIMES)


def test_only_what_is_needed(folder):
    (folder / "pipeline.yaml").write_text(
        "{version: 1, name: a, slo: {latency: 1, percentile: 100}, profiles: [p.csv], hardware: {h: {price: 0}}, "
        "stages: {s: {model: m, hardware: , max_batch: null}}, workload: {trace: t.csv}}"
    )
    file = read_pipeline("pipeline.yaml")
    assert file.pipeline.stages == (Stage(name="s", model="m", hardware=("h",)),)
    assert file.models == {}
    assert file.workload == Workload(trace=Path("t.csv"))


def test_models_keep_keys_of_their_own(edited):
    edited(("input_type: strings", "input_type: strings, env: {A: [1, no]}, cpus: 2"))
    assert read_pipeline("pipeline.yaml").models["ranker"] == {
        "container": "registry/ranker:3",
        "input_type": "strings",
        "env": {"A": [1, False]},
        "cpus": 2,
    }
