"""What ``inferline tune daemon`` refuses before it asks anybody, and what it says when nothing is deployed."""

from __future__ import annotations

import pytest

MODELS = """\
models:
  detector: {callable: "served:detect"}
  reader: {callable: "served:read"}
"""


@pytest.fixture
def tune(run, folder, monkeypatch):
    """Return a function: runs the daemon on a plan that is deployed nowhere."""
    text = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(text + MODELS)
    monkeypatch.setenv("INFERLINE_HOME", str(folder / "home"))
    assert run("plan", "pipeline.yaml", "--out", "plan.json").code == 0

    def tuned(*options, plan="plan.json"):
        return run("tune", "daemon", plan, "--pipeline", "pipeline.yaml", *options)

    return tuned


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--arrivals", "http://127.0.0.1:1338"), "write core://HOST:ADMIN_PORT or prometheus://HOST:PORT"),
        (("--arrivals", "core://127.0.0.1"), "--arrivals: 'core://127.0.0.1' is none"),
        (("--arrivals", "core://127.0.0.1:x"), "--arrivals: 'core://127.0.0.1:x' is none"),
        (("--lease", "here"), "write file:///PATH, redis://HOST:PORT, kubernetes or none"),
        (("--lease", "kubernetes"), "kubernetes is for --target kubernetes, not for local"),
        (("--set", "hold_s"), "'hold_s' is no constant; write NAME=NUMBER"),
        (("--set", "hold=3"), "policy 'twin' has no 'hold'; it has"),
        (("--set", "hold_s=-3"), "-3.0 is not a number of 0 or more"),
        (("--tick", "0s"), "--tick: is 0"),
        (
            ("--replan", "apply", "--arrivals", "prometheus://127.0.0.1:9090"),
            "--replan: apply needs the serving",
        ),
        (("--replan", "always"), "'always' is not one of 'off', 'log', 'apply'"),
        (("--replan-after", "soon"), "--replan-after"),
        (("--namespace", "here"), "is for --target kubernetes, not for local"),
    ],
)
def test_bad_options_are_named(tune, options, words):
    ended = tune(*options)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert "Traceback" not in ended.err


def test_faults_of_the_files_are_named(tune, folder):
    ended = tune(plan="none.json")
    assert (ended.code, "none.json: cannot be read" in ended.err) == (2, True)


def test_a_plan_that_is_deployed_nowhere(tune):
    ended = tune()
    assert (ended.code, "target local runs no serving core for small; say --server" in ended.err) == (2, True)
    ended = tune("--server", "127.0.0.1:9")
    assert ended.code == 4
    assert "at target local: the plan is not deployed there; inferline deploy plan.json" in ended.err
