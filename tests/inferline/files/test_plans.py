"""plan.json: written the same every time, read back whole or in part, every fault named."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from inferline.domain import (
    Configuration,
    Envelope,
    Plan,
    Prediction,
    Slo,
    StageConfiguration,
    StagePrediction,
)
from inferline.files import (
    load,
    plan_document,
    prediction_document,
    read_configuration,
    read_pipeline,
    read_plan,
    write_plan,
)

STAGE = StagePrediction(
    utilisation=0.61,
    mean_batch=1.7,
    wait_p99_s=0.01,
    service_p99_s=0.02,
    wait_mean_s=0.001,
    service_mean_s=0.015,
    budget_wait=0.2,
    budget_service=0.4,
    visits=12345,
)
STAGES = {
    "lang-detect": StageConfiguration(hardware="cpu-1", max_batch=4, replicas=2),
    "translate": StageConfiguration(hardware="k80", max_batch=8, replicas=3),
    "rank": StageConfiguration(hardware="cpu-1", max_batch=1, replicas=5),
}
PLAN = Plan(
    pipeline="social-media",
    status="feasible",
    planner="exact",
    slo=Slo(latency_ns=300_000_000, percentile=Decimal(99)),
    models={"lang-detect": "tf-lang-detect", "translate": "tf-nmt", "rank": "ranker"},
    configuration=Configuration(STAGES),
    cost_nano_usd_per_hour=5_790_000_001,
    lower_bound_nano_usd_per_hour=5_000_000_000,
    predicted=Prediction(
        p50_s=0.041,
        p95_s=0.12,
        p99_s=0.21,
        at_slo_percentile_s=0.21,
        slo_attainment=0.9993,
        queries=12345,
        slo_met=True,
        stages=dict.fromkeys(STAGES, STAGE),
    ),
    envelope=Envelope(window_s=(0.05, 0.1), max_queries=(19, 30)),
    inputs={"pipeline_sha256": "a", "profiles_sha256": "b", "trace_sha256": "c"},
)


@pytest.fixture
def pipeline(folder):
    return read_pipeline("pipeline.yaml").pipeline


@pytest.fixture
def changed(folder):
    """Write plan.json with values replaced, by key path; None removes a key."""

    def write(changes: dict[tuple[str, ...], object]) -> None:
        document = plan_document(PLAN)
        for path, value in changes.items():
            node = document
            for key in path[:-1]:
                node = node[key]
            if value is None:
                del node[path[-1]]
            else:
                node[path[-1]] = value
        (folder / "plan.json").write_text(json.dumps(document))

    return write


def test_the_document_has_the_keys_of_the_contract_in_their_order():
    document = plan_document(PLAN)
    assert list(document) == [
        "version", "pipeline", "status", "cost_usd_per_hour", "lower_bound_usd_per_hour", "gap", "planner", "slo",
        "stages", "predicted", "envelope", "inputs",
    ]  # fmt: skip
    assert document["cost_usd_per_hour"] == 5.790000001
    assert document["gap"] == 790_000_001 / 5_790_000_001
    assert document["slo"] == {"latency_s": 0.3, "percentile": 99}
    assert document["stages"]["rank"] == {"model": "ranker", "hardware": "cpu-1", "max_batch": 1, "replicas": 5}
    assert document["predicted"] == prediction_document(PLAN.predicted)
    assert list(document["predicted"]["stages"]["rank"]) == [
        "utilisation", "mean_batch", "wait_p99_s", "service_p99_s", "visits",
        "wait_mean_s", "service_mean_s", "budget_wait", "budget_service",
    ]  # fmt: skip
    assert document["envelope"] == {"window_s": [0.05, 0.1], "max_queries": [19, 30]}


def test_the_text_is_json_with_an_end_of_line():
    text = write_plan(PLAN)
    assert text.startswith('{\n  "version": 1,\n  "pipeline": "social-media",\n')
    assert text.endswith("}\n")
    assert json.loads(text) == plan_document(PLAN)
    assert write_plan(PLAN) == text


@pytest.mark.parametrize(("percentile", "written"), [("99", "99"), ("99.0", "99"), ("99.9", "99.9"), ("1E+2", "100")])
def test_percentiles(percentile, written):
    plan = replace(PLAN, slo=Slo(latency_ns=1, percentile=Decimal(percentile)))
    assert f'"percentile": {written}\n' in write_plan(plan)


def test_numbers_that_are_none_are_not_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_plan(replace(PLAN, predicted=replace(PLAN.predicted, p50_s=float("nan"))))


def test_reading_gives_the_plan_back(folder, pipeline):
    (folder / "plan.json").write_text(write_plan(PLAN))
    plan = read_plan("plan.json", pipeline)
    assert plan == PLAN
    assert write_plan(plan) == write_plan(PLAN)


def test_a_configuration_needs_little(folder):
    inputs = load("pipeline.yaml")
    stages = json.loads(write_plan(PLAN))["stages"]
    (folder / "plan.json").write_text(json.dumps({"stages": dict(reversed(stages.items())), "version": 1}))
    configuration = read_configuration("plan.json", inputs.pipeline, inputs.profiles)
    assert configuration == PLAN.configuration
    assert list(configuration) == ["lang-detect", "translate", "rank"]


def test_keys_of_later_versions_are_left_alone(changed, pipeline):
    changed({("machines",): [1], ("predicted", "p999_s"): 3, ("predicted", "stages", "rank", "energy_j"): 1})
    assert read_plan("plan.json", pipeline) == PLAN


BROKEN = {
    "version": ({("version",): 2}, ["version: 2 is not known; this InferLine reads version 1"]),
    "no version": ({("version",): None}, ["version: missing; give the version of this format, 1"]),
    "another pipeline": (
        {("pipeline",): "other"},
        ["pipeline: the plan is for 'other'; this pipeline is 'social-media'"],
    ),
    "status": ({("status",): "best"}, ["status: 'best' is not known; use optimal or feasible"]),
    "missing stage": (
        {("stages", "rank"): None},
        ["stages.rank: missing; a plan says what every stage of the pipeline runs with"],
    ),
    "unknown stage": (
        {("stages", "rnak"): {"model": "ranker", "hardware": "cpu-1", "max_batch": 1, "replicas": 1}},
        ["stages.rnak: the pipeline has no stage 'rnak' (did you mean 'rank'?)"],
    ),
    "unknown key": (
        {("stages", "rank", "replica"): 3, ("stages", "rank", "replicas"): None},
        [
            "stages.rank.replicas: missing; give the number of replicas",
            "stages.rank.replica: no such key (did you mean 'replicas'?)",
        ],
    ),
    "another model": (
        {("stages", "rank", "model"): "ranker2"},
        ["stages.rank.model: the plan runs 'ranker2'; the pipeline file says 'ranker'"],
    ),
    "unknown hardware": (
        {("stages", "rank", "hardware"): "cpu-11"},
        ["stages.rank.hardware: no hardware 'cpu-11' (did you mean 'cpu-1'?)"],
    ),
    "hardware that is not allowed": (
        {("stages", "rank", "hardware"): "k80"},
        ["stages.rank.hardware: stage 'rank' may not run on 'k80'; allowed: 'cpu-1'"],
    ),
    "no replicas": (
        {("stages", "rank", "replicas"): 0},
        ["stages.rank.replicas: 0 is out of range; it must be at least 1"],
    ),
    "replicas in words": (
        {("stages", "rank", "replicas"): "2"},
        ["stages.rank.replicas: '2' is not a whole number; write it without quotes"],
    ),
    "negative batch": (
        {("stages", "rank", "max_batch"): -4},
        ["stages.rank.max_batch: -4 is out of range; it must be at least 1"],
    ),
    "stages as a list": ({("stages",): []}, ["stages: a list is not a mapping of keys to values"]),
    "no prediction": ({("predicted",): None}, ["predicted: missing; give what the simulator expects"]),
    "several": (
        {
            ("stages", "lang-detect", "replicas"): -1,
            ("stages", "translate", "hardware"): "gpu",
            ("predicted", "p50_s"): "fast",
        },
        [
            "stages.lang-detect.replicas: -1 is out of range; it must be at least 1",
            "stages.translate.hardware: no hardware 'gpu'; declared: 'cpu-1' and 'k80'",
            "predicted.p50_s: 'fast' is not a number",
        ],
    ),
}


@pytest.mark.parametrize(("changes", "expected"), BROKEN.values(), ids=BROKEN)
def test_every_fault_is_named_exactly(changed, pipeline, faults_of, changes, expected):
    changed(changes)
    assert faults_of(lambda: read_plan("plan.json", pipeline)) == [f"plan.json: {each}" for each in expected]


NO_JSON = {
    "empty": ("", ["line 1, column 1: is not JSON: Expecting value"]),
    "open": (
        '{"version": 1,\n',
        ["line 2, column 1: is not JSON: Expecting property name enclosed in double quotes"],
    ),
    "NaN": ('{"version": NaN}', ["NaN is not a number in JSON"]),
    "key twice": ('{"version": 1, "version": 2}', ["the key 'version' is given twice in one object; keep one"]),
    "deep": ("[" * 100_000, ["is nested too deeply"]),
    "many digits": (f'{{"version": {"9" * 5000}, "stages": 1}}', None),
    "a list": ("[]", ["a list is not a mapping; its keys are version and stages"]),
    "binary": ("\0", ["line 1: a NUL byte is not text"]),
}


@pytest.mark.parametrize(("text", "expected"), NO_JSON.values(), ids=NO_JSON)
def test_what_is_no_plan_at_all(folder, faults_of, text, expected):
    inputs = load("pipeline.yaml")
    (folder / "plan.json").write_text(text)
    faults = faults_of(lambda: read_configuration("plan.json", inputs.pipeline, inputs.profiles))
    if expected is not None:
        assert faults == [f"plan.json: {each}" for each in expected]


def test_a_configuration_must_be_profiled(folder, changed, faults_of, edited):
    edited(("profiles: profiles.csv", "profiles: own.csv"))
    (folder / "own.csv").write_text(
        "model,hardware,batch_size,latency_mean_s\ntf-lang-detect,cpu-1,2,1\ntf-nmt,cpu-1,8,1\nranker,cpu-1,8,1\n"
    )
    inputs = load("pipeline.yaml")
    changed({})
    assert faults_of(lambda: read_configuration("plan.json", inputs.pipeline, inputs.profiles)) == [
        "plan.json: stages.lang-detect.max_batch: 4 is above 2, the largest profiled batch size of model "
        "'tf-lang-detect' on 'cpu-1'",
        "plan.json: stages.translate.hardware: no profile of model 'tf-nmt' on 'k80'; profiled on 'cpu-1'",
    ]


def test_a_plan_that_is_not_there(folder, pipeline, faults_of):
    assert faults_of(lambda: read_plan("nothere.json", pipeline)) == [
        "nothere.json: cannot be read: No such file or directory"
    ]
