"""From a pipeline file and a plan to sets of replicas, or to everything that keeps them from being deployed."""

from __future__ import annotations

import pytest

from inferline.domain import Hardware
from inferline.errors import InputError
from serving_adapter.deployment import read_files, wanted_of
from serving_adapter.replicas import SetKey


def faults(path, plan):
    with pytest.raises(InputError) as refused:
        read_files(path, plan)
    return [str(fault).replace(f"{path.parent}/", "") for fault in refused.value.faults]


def test_one_set_for_each_stage(written, tmp_path):
    files = read_files(*written())
    wanted = wanted_of(files, {"detect": "1", "read": "2"})
    assert files.stages == ("detect", "read")  # topological, whatever the order in the file
    assert files.limits == {"gpu": 2}
    assert wanted.standing.replicas == {SetKey("detect", "1", "cpu"): 2, SetKey("read", "2", "gpu"): 1}
    assert wanted.standing.versions == {"detect": "1", "read": "2"}
    read = wanted.sets[SetKey("read", "2", "gpu")]
    assert (read.deployment, read.model, read.replicas) == ("small", "small.read", 1)
    assert read.hardware == Hardware(
        name="gpu", price_nano_usd_per_hour=500_000_000, cpus=2, limit=2, isolation="gvisor"
    )
    assert (read.entry.kind, read.entry.target, read.entry.input_type) == ("callable", "served:read", "strings")
    detect = wanted.sets[SetKey("detect", "1", "cpu")]
    assert (detect.entry.folder, detect.entry.sample) == (tmp_path, tmp_path / "pages.jsonl")
    assert detect.plan == read.plan == wanted.standing.digest
    assert len(read.plan) == 16


def test_the_digest_is_of_file_and_plan(written, plan, pipeline_text):
    def digest(*given):
        return wanted_of(read_files(*written(*given)), {"detect": "1", "read": "1"}).standing.digest

    same = digest()
    assert digest(pipeline_text + "# a comment\n") == same
    assert digest(pipeline_text, plan(detect=("cpu", 2, 5))) != same
    assert digest(pipeline_text.replace("150ms", "160ms")) != same


def test_every_fault_of_both_files_is_named(written, plan, pipeline_text):
    text = pipeline_text.replace("percentile: 99", "percentile: 0")
    assert faults(*written(text, [1])) == [
        "pipeline.yaml: slo.percentile: 0 is out of range; it must be above 0",
        "plan.json: is a list; a plan is a mapping with version and stages",
    ]


def test_everything_that_keeps_a_plan_from_being_deployed_is_named(written, plan, pipeline_text):
    text = pipeline_text.replace("name: small", "name: a/b").replace(
        "  detector: {onnx: models/d.onnx, sample: pages.jsonl}\n", ""
    )
    assert faults(*written(text, plan(read=("gpu", 3, 8)))) == [
        "pipeline.yaml: name: 'a/b' cannot be deployed: it has a ',', a ':' or a '/'",
        "pipeline.yaml: models.detector: missing; deploy needs to know how to run the model of stage 'detect'",
        "plan.json: stages: use 3 units of 'gpu'; its limit is 2",
    ]


def test_a_plan_of_another_pipeline(written, plan):
    told = faults(*written(plan={**plan(), "pipeline": "large"}))
    assert told == ["plan.json: pipeline: the plan is for 'large'; this pipeline is 'small'"]


def test_files_that_are_not_there(tmp_path):
    assert faults(tmp_path / "pipeline.yaml", tmp_path / "plan.json") == [
        "pipeline.yaml: cannot be read: No such file or directory",
        "plan.json: cannot be read: No such file or directory",
    ]
