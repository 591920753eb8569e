"""``inferline deploy``, ``status`` and ``undeploy`` without anything that runs: dry runs, and what is wrong."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.inferline.cli.deploying.served_numbers import PIPELINE, PIPELINE_OPTION, write


def test_a_dry_run_prints_the_steps_and_starts_nothing(run, home):
    ended = run("deploy", "plan.json", *PIPELINE_OPTION, "--dry-run")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "1. have the target run a serving core",
        "2. register the pipeline and its plan",
        "3. start add 1 on cpu: 0 -> 1 replicas",
        "4. start double 1 on cpu: 0 -> 1 replicas",
    ]
    told = json.loads(run("deploy", "plan.json", *PIPELINE_OPTION, "--dry-run", "--format", "json").out)
    assert (told["dry_run"], [step["kind"] for step in told["steps"]]) == (True, ["register", "start", "start"])
    assert told["stages"]["add"] == {
        "model": "adder",
        "version": "1",
        "hardware": "cpu",
        "max_batch": 1,
        "replicas": 1,
    }
    assert not home.exists()


def test_a_dry_run_for_kubernetes_prints_manifests(run, home):
    options = ("--dry-run", "--target", "kubernetes", "--image", "registry/app:3", "--namespace", "serving")
    ended = run("deploy", "plan.json", *PIPELINE_OPTION, *options, "--version", "add=2")
    assert (ended.code, ended.err) == (0, "")
    documents = list(yaml.safe_load_all(ended.out))
    kinds = [each["kind"] for each in documents]
    assert (kinds.count("Deployment"), kinds.count("Service")) == (3, 1)
    assert {each["metadata"]["namespace"] for each in documents} == {"serving"}
    versions = {each["metadata"]["labels"].get("inferline.io/version") for each in documents}
    assert versions == {None, "1", "2"}
    told = json.loads(run("deploy", "plan.json", *PIPELINE_OPTION, *options, "--format", "json").out)
    assert [each["kind"] for each in told["manifests"]] == kinds
    elsewhere = run("deploy", "plan.json", *PIPELINE_OPTION, *options, "--server", "10.0.0.5")
    kinds = [each["kind"] for each in yaml.safe_load_all(elsewhere.out)]
    assert (kinds.count("Deployment"), kinds.count("Service")) == (2, 0)


def test_options_from_a_file(run, folder, home):
    options = ("--dry-run", "--target", "kubernetes", "--image", "app", "--target-options", "options.yaml")
    (folder / "options.yaml").write_text("namespace: serving\nnode_selectors: {cpu: {pool: small}}\n")
    ended = run("deploy", "plan.json", *PIPELINE_OPTION, *options)
    assert ended.code == 0, ended.err
    assert "pool: small" in ended.out
    for text, said in (
        ("namespaces: serving\n", "options.yaml: namespaces: no such option (did you mean 'namespace'?)"),
        ("folder: [1]\n", "options.yaml: folder: Expected `str`, got `array`"),
        ("[1]\n", "options.yaml: is a list; write a mapping of options"),
    ):
        (folder / "options.yaml").write_text(text)
        ended = run("deploy", "plan.json", *PIPELINE_OPTION, *options)
        assert (ended.code, ended.err) == (2, f"error: {said}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("deploy", "absent.json", *PIPELINE_OPTION), "absent.json: cannot be read"),
        (("deploy", "plan.json"), "--pipeline"),
        (("deploy", "plan.json", *PIPELINE_OPTION, "--target", "moon"), "'moon' is not one of"),
        (
            ("deploy", "plan.json", *PIPELINE_OPTION, "--server", "a/b"),
            "'a/b' is no server; write HOST or HOST:ADMIN",
        ),
        (("deploy", "plan.json", *PIPELINE_OPTION, "--server", "h:x"), "'h:x' is no server"),
        (("deploy", "plan.json", *PIPELINE_OPTION, "--server", "h", "--rpc-port", "0"), "--rpc-port: is 0"),
        (("deploy", "plan.json", *PIPELINE_OPTION, "--image", "i"), "--image: is for --target docker or kubernetes"),
        (("deploy", "plan.json", *PIPELINE_OPTION, "--timeout", "soon"), "soon"),
        (
            ("deploy", "plan.json", *PIPELINE_OPTION, "--dry-run", "--target", "kubernetes"),
            "needs an image that holds InferLine",
        ),
        (("status", "--watch", "--format", "json"), "--watch: prints again and again"),
        (("status", "--over", "0s"), "--over: is 0"),
        (("undeploy", "absent.yaml"), "absent.yaml: cannot be read"),
        (("undeploy", "numbers", "--network", "n"), "--network: is for --target docker, not for local"),
    ],
)
def test_what_is_wrong_is_named(run, home, arguments, said):
    ended = run(*arguments)
    assert (ended.code, said in ended.err, "Traceback" in ended.err) == (2, True, False), ended.err
    assert not home.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("deploy", "plan.json", *PIPELINE_OPTION, "--server", "127.0.0.1:9", "--timeout", "0.1s"),
        ("status", "numbers", "--server", "127.0.0.1:9"),
        ("undeploy", "numbers", "--server", "127.0.0.1:9"),
        ("status", "--server", "no.such.name.invalid"),
    ],
)
def test_a_server_that_is_not_there(run, home, arguments):
    ended = run(*arguments)
    assert (ended.code, ended.err.startswith("failed: "), "Traceback" in ended.err) == (4, True, False), ended.err


def test_every_fault_of_both_files_is_named(run, folder, home):
    write(folder, double=("fast", 3, 1))
    (folder / "pipeline.yaml").write_text(PIPELINE.replace('  adder: {callable: "served:add"}\n', ""))
    ended = run("deploy", "plan.json", *PIPELINE_OPTION)
    assert ended.code == 2
    assert (
        "pipeline.yaml: models.adder: missing; deploy needs to know how to run the model of stage 'add'" in ended.err
    )
    assert "plan.json: stages: use 3 units of 'fast'; its limit is 2" in ended.err
    assert not home.exists()
