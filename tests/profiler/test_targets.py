"""Which (model, hardware) are measured, with which cap, and what is said when they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferline.domain import Edge, Hardware, Pipeline, Slo, Stage
from inferline.errors import InputError
from profiler.targets import at_hand, choose_stages, choose_targets, model_entries

FILE = Path("pipeline.yaml")
ENTRIES = model_entries(FILE, {name: {"callable": f"models:{name}"} for name in ("detector", "reader")})


def pipeline(*stages: Stage) -> Pipeline:
    return Pipeline(
        name="p",
        slo=Slo(latency_ns=10**9, percentile=99),
        stages=stages,
        hardware=tuple(Hardware(name=name, price_nano_usd_per_hour=1) for name in ("cpu", "gpu", "tpu")),
    )


def stage(name, model, *, after=(), hardware=("cpu", "gpu"), max_batch=None):
    return Stage(
        name=name,
        model=model,
        parents=tuple(Edge(parent=parent) for parent in after),
        hardware=hardware,
        max_batch=max_batch,
    )


def chosen(graph, stages=(), hardware=(), entries=ENTRIES):
    targets = choose_targets(FILE, graph, entries, choose_stages(graph, stages), hardware)
    return [(each.entry.name, each.hardware.name, each.stages, each.max_batch) for each in targets]


def faults_of(call) -> list[str]:
    with pytest.raises(InputError) as caught:
        call()
    return [str(fault) for fault in caught.value.faults]


def test_a_model_of_two_stages_is_measured_once_on_each_hardware_that_either_may_use():
    graph = pipeline(
        stage("detect", "detector", max_batch=8),
        stage("read", "reader", after=["detect"], hardware=("gpu",), max_batch=4),
        stage("again", "detector", after=["read"], hardware=("gpu", "tpu"), max_batch=16),
    )
    assert chosen(graph) == [
        ("detector", "cpu", ("detect",), 8),
        ("detector", "gpu", ("detect", "again"), 16),
        ("detector", "tpu", ("again",), 16),
        ("reader", "gpu", ("read",), 4),
    ]


def test_one_stage_without_a_cap_lifts_the_cap():
    graph = pipeline(stage("a", "detector", max_batch=8), stage("b", "detector"))
    assert [cap for *_, cap in chosen(graph)] == [None, None]


def test_names_narrow_stages_and_hardware():
    graph = pipeline(stage("detect", "detector"), stage("read", "reader", after=["detect"]))
    assert chosen(graph, ["read"], ["gpu"]) == [("reader", "gpu", ("read",), None)]


def test_every_wrong_name_is_named_in_one_go():
    graph = pipeline(stage("detect", "detector"), stage("read", "reader", after=["detect"]))
    assert faults_of(lambda: choose_stages(graph, ["detekt", "zzz", "detekt"])) == [
        "--stage: no stage 'detekt' (did you mean 'detect'?)",
        "--stage: no stage 'zzz'; declared: 'detect' and 'read'",
    ]
    assert faults_of(lambda: chosen(graph, hardware=["cpuu", "tpu"])) == [
        "--hardware: no hardware 'cpuu' (did you mean 'cpu'?)",
        "--hardware: 'tpu' is not what the stages may use: 'cpu' and 'gpu'",
    ]


def test_models_without_an_entry_are_faults_of_the_chosen_stages_only():
    graph = pipeline(stage("a", "x"), stage("b", "y", after=["a"]), stage("c", "detector"))
    assert faults_of(lambda: chosen(graph)) == [
        "pipeline.yaml: models.x: missing; profile needs to know how to run it",
        "pipeline.yaml: models.y: missing; profile needs to know how to run it",
    ]
    assert [model for model, *_ in chosen(graph, ["c"])] == ["detector", "detector"]


def test_hardware_that_is_elsewhere_is_skipped_unless_it_was_asked_for():
    graph = pipeline(stage("detect", "detector"), stage("read", "reader", after=["detect"], hardware=("gpu",)))
    targets = choose_targets(FILE, graph, ENTRIES, graph.stages, ())

    def without_gpu(hardware):
        return "there is no GPU" if hardware.name == "gpu" else None

    here = at_hand(targets, without_gpu, ())
    assert [(each.entry.name, each.hardware.name) for each in here.targets] == [("detector", "cpu")]
    assert here.skipped == {"gpu": "there is no GPU"}
    assert faults_of(lambda: at_hand(targets, without_gpu, ["gpu", "cpu"])) == ["--hardware: gpu: there is no GPU"]
    gpu_only = [each for each in targets if each.hardware.name == "gpu"]
    assert faults_of(lambda: at_hand(gpu_only, without_gpu, ())) == [
        "none of the hardware that the stages may use is at hand: gpu: there is no GPU"
    ]
