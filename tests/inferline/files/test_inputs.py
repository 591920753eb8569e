"""Pipeline file, profiles and trace together: what fits, what does not, and all of it at once."""

from __future__ import annotations

import gzip
import hashlib
import pickle

import pytest

from inferline.files import load, read_pipeline, read_profiles


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_example_of_the_contract(folder):
    inputs = load("pipeline.yaml")
    assert inputs.pipeline == read_pipeline("pipeline.yaml").pipeline
    assert list(inputs.profiles) == list(read_profiles("profiles.csv"))
    assert inputs.models["tf-nmt"] == {"pytorch": "mypackage.models:make_nmt", "device": "auto"}
    # 120 s, of which a quarter is kept; second s holds 100 + s % 50 queries, the busiest one is scaled to 300.
    assert inputs.trace.duration_ns == 30 * 10**9
    assert len(inputs.trace) == sum(round((100 + second) * 300 / 149) for second in range(30))
    assert inputs.digests == {
        f"{name}_sha256": sha256((folder / file).read_bytes())
        for name, file in (("pipeline", "pipeline.yaml"), ("profiles", "profiles.csv"), ("trace", "trace.csv.gz"))
    }


def test_inputs_can_be_sent_to_another_process(folder):
    inputs = load("pipeline.yaml")
    again = pickle.loads(pickle.dumps(inputs))
    assert again.pipeline == inputs.pipeline
    assert again.digests == inputs.digests


def test_the_whole_trace(folder):
    sample, whole = load("pipeline.yaml"), load("pipeline.yaml", whole=True)
    assert whole.trace.duration_ns == 120 * 10**9
    assert whole.trace.first(0.25).arrival_ns.tolist() == sample.trace.arrival_ns.tolist()


def test_another_trace_is_spread_but_neither_scaled_nor_cut(folder, edited):
    edited(("sample: 25%", "sample: 25%\n  spread: even"))
    data = b"second,requests\n0,1\n1,2\n"
    (folder / "other.csv").write_bytes(data)
    inputs = load("pipeline.yaml", trace=folder / "other.csv")
    assert inputs.trace.arrival_ns.tolist() == [500_000_000, 1_250_000_000, 1_750_000_000]
    assert inputs.trace.duration_ns == 2 * 10**9
    assert inputs.digests["trace_sha256"] == sha256(data)


def test_another_trace_replaces_one_that_is_not_there(folder, edited):
    edited(("trace: trace.csv.gz", "trace: nothere.csv"))
    assert len(load("pipeline.yaml", trace="trace.csv.gz").trace) == sum(100 + second % 50 for second in range(120))


def test_a_generated_trace(edited):
    edited(("trace: trace.csv.gz", "generate: {arrivals: gamma, rate: 50, cv2: 4, duration: 1min, seed: 1}"))
    inputs, again = load("pipeline.yaml"), load("pipeline.yaml")
    assert inputs.trace.arrival_ns.tolist() == again.trace.arrival_ns.tolist()
    assert inputs.digests == again.digests
    edited(
        ("trace: trace.csv.gz", "generate: {arrivals: gamma, rate: 50, cv2: 4, duration: 1min, seed: 1}"),
        ("peak: 300", "scale: 1"),
        ("sample: 25%", "sample: 100%"),
    )
    plain = load("pipeline.yaml")
    assert plain.digests["trace_sha256"] == sha256(plain.trace.arrival_ns.astype("<i8").tobytes())
    assert plain.digests["trace_sha256"] == inputs.digests["trace_sha256"]


def test_stages_keep_only_hardware_that_they_have_a_configuration_on(folder, edited):
    edited(("[cpu-1]", "[k80, cpu-1]"), ("max_batch: 16", "max_batch: 2"), ("profiles.csv", "own.csv"))
    (folder / "own.csv").write_text(
        "model,hardware,batch_size,latency_mean_s\n"
        "tf-lang-detect,k80,4,1\ntf-lang-detect,v100,4,1\ntf-nmt,k80,1,1\ntf-nmt,cpu-1,1,1\n"
        "ranker,k80,4,1\nranker,cpu-1,2,1\n"
    )
    stages = {stage.name: stage.hardware for stage in load("pipeline.yaml").pipeline.stages}
    assert stages == {"lang-detect": ("k80",), "translate": ("cpu-1", "k80"), "rank": ("cpu-1",)}


def test_everything_at_once(folder, edited, faults_of):
    edited(
        ("version: 1", "version: 2"),
        ("300ms", "300 fortnights"),
        ("  k80:     {price: $0.7005/h, ", "  k80:     {"),
        ("{model: tf-lang-detect}", "{model: tf-lang-detect, after: [rank]}"),
        ("probability: 0.4", "probability: 1.2"),
        ("{stage: translate}", "{stage: transalte}"),
        ("[cpu-1]", "[cpu1]"),
        ("replicas: {min: 1, max: 40}", "replica: {min: 1, max: 40}"),
        ("sample: 25%", "sample: 250%"),
        ("{pytorch:", "{onnx: nmt.onnx, pytorch:"),
        ("seed: 0", "sed: 0"),
        ("planner: {service_time: mean}", "planner: {service_time: 95}"),
    )
    (folder / "profiles.csv").write_text(
        "model,hardware,batch_size,latency_mean_s\ntf-nmt,k80,1,-1\ntf-nmt,k80,1.5,nan\n"
    )
    (folder / "trace.csv.gz").write_bytes(gzip.compress(b"second,requests\n0,1\n0,x\n2,-1\n"))
    assert faults_of(lambda: load("pipeline.yaml")) == [
        "pipeline.yaml: version: 2 is not known; this InferLine reads version 1",
        "pipeline.yaml: slo.latency: unknown unit 'fortnights' in '300 fortnights'; use ns, us, ms, s, min or h",
        "pipeline.yaml: hardware.k80.price: missing; give the price of one unit, like $0.526/h",
        "pipeline.yaml: stages.lang-detect.after: stages form a cycle: lang-detect -> rank -> lang-detect",
        "pipeline.yaml: stages.translate.after[0].probability: 1.2 is out of range; it must be at most 1",
        "pipeline.yaml: stages.rank.after[1].stage: no stage 'transalte' (did you mean 'translate'?)",
        "pipeline.yaml: stages.rank.hardware[0]: no hardware 'cpu1' (did you mean 'cpu-1'?)",
        "pipeline.yaml: stages.rank.replica: no such key (did you mean 'replicas'?)",
        "pipeline.yaml: workload.sample: '250%' is out of range; a share lies above 0 and is at most 100%",
        "pipeline.yaml: models.tf-nmt: give exactly one of callable, pytorch, onnx, sklearn, directory, container or "
        "http; pytorch and onnx given",
        "pipeline.yaml: sed: no such key (did you mean 'seed'?)",
        "pipeline.yaml: planner.service_time: 95 is not known; "
        "use mean, p50, p95, p99, hop_mean, hop_p50, hop_p95 or hop_p99",
        "profiles.csv: line 2: latency_mean_s: -1 is out of range; it must be above 0",
        "profiles.csv: line 3: batch_size: '1.5' is not a whole number",
        "profiles.csv: line 3: latency_mean_s: 'nan' is not a number",
        "trace.csv.gz: line 3: second 0 stands where second 1 is expected; write every second, from 0, once",
        "trace.csv.gz: line 4: second 2 stands where second 1 is expected; write every second, from 0, once",
    ]


def test_faults_of_the_workload_stand_among_those_of_the_pipeline_file(edited, faults_of):
    edited(("peak: 300", "peak: 1e12"), ("version: 1", "version: 3"), ("service_time: mean", "service_time: p98"))
    assert [fault.split(": ")[1] for fault in faults_of(lambda: load("pipeline.yaml"))] == [
        "version",
        "workload.peak",
        "planner.service_time",
    ]


def test_profiles_are_compared_with_what_can_be_read_of_the_stages(edited, faults_of):
    edited(("version: 1", "version: 3"), ("model: tf-nmt", "model: tf-nmtt"), ("  tf-nmt:", "  tf-nmtt:"))
    assert faults_of(lambda: load("pipeline.yaml")) == [
        "pipeline.yaml: version: 3 is not known; this InferLine reads version 1",
        "pipeline.yaml: stages.translate.model: no profile of model 'tf-nmtt' (did you mean 'tf-nmt'?)",
    ]


def test_a_pipeline_file_that_is_no_yaml_and_a_trace_that_is_not_there(folder, faults_of):
    (folder / "pipeline.yaml").write_text("a: [")
    assert faults_of(lambda: load("pipeline.yaml", trace="nothere.csv")) == [
        "pipeline.yaml: line 2, column 1: is not YAML: while parsing a flow node did not find expected node content",
        "nothere.csv: cannot be read: No such file or directory",
    ]


@pytest.mark.parametrize("data", [b"second,requests\n0,100000000\n", b"\0\xff", b""])
def test_another_trace_that_cannot_be_used(folder, faults_of, data):
    (folder / "other.csv").write_bytes(data)
    (fault,) = faults_of(lambda: load("pipeline.yaml", trace="other.csv"))
    assert fault.startswith("other.csv: ")
