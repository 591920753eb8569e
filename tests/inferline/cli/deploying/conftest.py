"""A folder with a pipeline that can be deployed, and a deployment that is stopped in the end."""

from __future__ import annotations

import json

import pytest

from tests.inferline.cli.deploying.served_numbers import (
    FREE,
    MODELS,
    PIPELINE,
    PIPELINE_OPTION,
    processes,
    until,
    write,
)


@pytest.fixture
def home(folder, monkeypatch):
    """Return where deployments are kept; the folder has a pipeline that can be deployed, and a plan of it."""
    (folder / "pipeline.yaml").write_text(PIPELINE)
    (folder / "served.py").write_text(MODELS)
    (folder / "inputs.jsonl").write_text("5\n6\n")
    write(folder)
    monkeypatch.setenv("INFERLINE_HOME", str(folder / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return folder / "home"


@pytest.fixture
def deploy(home, run):
    """Return a function: deploys a plan, and returns the document; everything is stopped in the end."""

    def deployed(plan="plan.json", *options):
        ended = run("deploy", plan, *PIPELINE_OPTION, *FREE, "--format", "json", *options)
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    yield deployed
    (home.parent / "go").touch()
    ended = run("undeploy", "numbers")
    assert ended.code == 0, ended.err
    until(lambda: not processes(home))
