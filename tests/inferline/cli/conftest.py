"""A small pipeline on disk, and the command line run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from inferline.cli import main

PIPELINE = """\
version: 1
name: small
slo: {latency: 100ms, percentile: 99}
profiles: profiles.csv
hardware:
  cpu: {price: $0.05/h}
  gpu: {price: $0.50/h, limit: 20}
stages:
  detect: {model: detector}
  read:
    model: reader
    after: [{stage: detect, probability: 0.5}]
workload:
  trace: trace.csv
"""

PROFILES = """\
model,hardware,batch_size,latency_mean_s
detector,cpu,1,0.020
detector,cpu,4,0.060
reader,cpu,1,0.045
reader,gpu,1,0.005
reader,gpu,8,0.020
"""

TRACE = "second,requests\n" + "".join(f"{second},{40 + 10 * (second % 5)}\n" for second in range(20))


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "profiles.csv").write_text(PROFILES)
    (tmp_path / "trace.csv").write_text(TRACE)
    return tmp_path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    monkeypatch.chdir(folder)

    def run_command(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["inferline", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Ended(code, captured.out, captured.err)

    return run_command
