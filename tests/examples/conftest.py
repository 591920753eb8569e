"""Examples as somebody has them after a clone: a copy, its inputs made by its own script, its models loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from inferline.files import read_pipeline
from profiler.targets import model_entries
from serving_adapter.models import load_model

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return a function: a copy of an example's folder, where a script of its has run."""

    def copied(name: str, script: str, needs: str) -> Path:
        # Without its models an example tests nothing: that is a failure, not a reason to skip.
        assert find_spec(needs) is not None, f"no package {needs}; see {EXAMPLES / name / 'requirements.txt'}"
        made = shutil.ignore_patterns("*.jsonl", "*.joblib", "*.samples", "__pycache__")
        folder = shutil.copytree(EXAMPLES / name, tmp_path_factory.mktemp("example") / name, ignore=made)
        subprocess.run([sys.executable, str(folder / script)], check=True, timeout=60)
        return folder

    return copied


@pytest.fixture(scope="module")
def models():
    """Return a function: the models of an example by stage, each called with a list of inputs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delitem(sys.modules, "stages", raising=False)  # every example has a module of that name

        def loaded(folder: Path):
            patch.syspath_prepend(folder)
            read = read_pipeline(folder / "pipeline.yaml")
            entries = model_entries(folder / "pipeline.yaml", read.models)
            return {stage.name: load_model(entries[stage.model], 1).predict for stage in read.pipeline.stages}

        yield loaded
    sys.modules.pop("stages", None)


@pytest.fixture(scope="session")
def json_lines():
    """Return a function: the values in a file of JSON lines."""

    def values(path: Path) -> list:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    return values
