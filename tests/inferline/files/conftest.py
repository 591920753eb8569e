"""The example of the file formats, complete with profiles and trace, in a folder of its own."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from inferline.errors import InputError

EXAMPLE = """\
version: 1
name: social-media
slo: {latency: 300ms, percentile: 99}        # percentile in (0, 100]; latency is end to end
profiles: profiles.csv                        # one path or a list; relative to this file
hardware:                                     # what a replica may run on, and what it costs
  cpu-1:   {price: $0.0665/h, cpus: 1}
  k80:     {price: $0.7005/h, cpus: 1, accelerator: nvidia-k80, accelerators: 1, limit: 64}
stages:                                       # any order; the graph must be acyclic
  lang-detect: {model: tf-lang-detect}        # a stage without `after` is an entry; several are allowed
  translate:
    model: tf-nmt
    after: [{stage: lang-detect, probability: 0.4}]
  rank:
    model: ranker
    after: [lang-detect, {stage: translate}]  # several parents = join
    hardware: [cpu-1]                          # optional: allow only these
    max_batch: 16                              # optional: cap
    replicas: {min: 1, max: 40}                # optional: bounds
workload:
  trace: trace.csv.gz                          # or `generate:`
  # generate: {arrivals: gamma, rate: 150, cv2: 4, duration: 10min, seed: 1}
  peak: 300                                    # or `scale: 2.5` directly
  sample: 25%                                  # optional: plan from the first part of the trace's duration
models:                                        # optional: how to run a model
  tf-lang-detect: {callable: "mypackage.models:detect"}
  tf-nmt:  {pytorch: "mypackage.models:make_nmt", device: auto}
  ranker:  {container: "registry/ranker:3", input_type: strings}
seed: 0                                        # routes of conditional branches; default 0
planner: {service_time: mean}                  # which profile column is planned with
"""

MODELS = ("tf-lang-detect", "tf-nmt", "ranker")
HEADER = "model,hardware,batch_size,latency_mean_s\n"


@pytest.fixture
def example() -> str:
    return EXAMPLE


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: pipeline.yaml, profiles.csv (batch sizes 1, 2, 4, 8) and trace.csv.gz (120 s).

    Besides, coarse.csv knows few batch sizes, and elsewhere.csv some hardware that is not declared.
    """
    rows = [
        f"{model},{hardware},{size},{size / 100}\n"
        for model in MODELS
        for hardware in ("cpu-1", "k80")
        for size in (1, 2, 4, 8)
    ]
    counts = [f"{second},{100 + second % 50}\n" for second in range(120)]
    (tmp_path / "pipeline.yaml").write_text(EXAMPLE)
    (tmp_path / "profiles.csv").write_text(HEADER + "".join(rows))
    (tmp_path / "coarse.csv").write_text(
        f"{HEADER}tf-lang-detect,cpu-1,4,0.1\ntf-nmt,k80,4,0.1\nranker,cpu-1,4,0.1\n"
    )
    (tmp_path / "elsewhere.csv").write_text(
        f"{HEADER}tf-lang-detect,v100,4,0.1\ntf-nmt,k80,4,0.1\nranker,cpu-1,4,0.1\n"
    )
    (tmp_path / "trace.csv.gz").write_bytes(gzip.compress(("second,requests\n" + "".join(counts)).encode()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def edited(folder: Path) -> Callable[..., None]:
    """Rewrite pipeline.yaml with (old, new) texts replaced, each of them once."""

    def edit(*edits: tuple[str, str]) -> None:
        text = EXAMPLE
        for old, new in edits:
            assert old in text
            text = text.replace(old, new, 1)
        (folder / "pipeline.yaml").write_text(text)

    return edit


@pytest.fixture
def faults_of() -> Callable[[Callable[[], object]], list[str]]:
    """The faults that a call raises, one text each; nothing but `InputError` may escape."""

    def collect(call: Callable[[], object]) -> list[str]:
        with pytest.raises(InputError) as caught:
            call()
        return [str(fault) for fault in caught.value.faults]

    return collect
