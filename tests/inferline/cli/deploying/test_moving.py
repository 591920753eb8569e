"""``inferline deploy``, as users run it: from plan to plan, through failures, with real cores and replicas."""

from __future__ import annotations

import json
import signal
import subprocess

import httpx
import yaml

from serving_adapter.client.admin import AdminClient
from tests.inferline.cli.deploying.served_numbers import (
    COMMAND,
    FREE,
    PIPELINE,
    PIPELINE_OPTION,
    Queries,
    ask,
    processes,
    requested,
    status,
    until,
    write,
)

SHORTER = PIPELINE.replace("  add: {model: adder, after: [double]}\n", "").replace(
    '  adder: {callable: "served:add"}\n', ""
)


def test_a_live_deployment_moves_to_another_plan_without_losing_a_query(deploy, run, folder, home):
    told = deploy()
    assert (told["changed"], [step["kind"] for step in told["steps"]]) == (True, ["register", "start", "start"])
    assert ask(told, 3) == 7
    before = processes(home)
    again = deploy()
    assert (again["changed"], again["steps"], processes(home)) == (False, [], before)
    (folder / "pipeline.yaml").write_text(PIPELINE.replace("served:add", "served:add_ten"))
    write(folder, "new.json", double=("fast", 2, 4), add=("cpu", 1, 2))
    with Queries(told["predict_url"]) as queries:
        until(lambda: len(queries.replies) > 50)
        moved = deploy("new.json")
        sent = len(queries.replies)
        until(lambda: len(queries.replies) > sent + 50)
    outputs = queries.outputs()
    assert (outputs[0], outputs[-1], set(outputs)) == (1, 10, {1, 10})
    assert outputs == sorted(outputs)  # one switch
    kinds = [step["kind"] for step in moved["steps"]]
    assert kinds == ["start", "start", "switch", "drain", "stop", "stop", "delete"]
    version = moved["stages"]["add"]["version"]
    assert (moved["stages"]["double"]["version"], len(version)) == ("1", 8)
    assert moved["predict_url"] == told["predict_url"]
    seen = status(run, moved)
    assert requested(seen, "double") == {("1", "fast"): 2}
    assert requested(seen, "add") == {(version, "cpu"): 1}
    assert (seen["stages"]["double"]["observed"], seen["stages"]["double"]["max_batch"]) == (2, 4)
    assert seen["plan"] == json.loads((folder / "new.json").read_text())
    assert deploy("new.json")["changed"] is False


def test_an_attempt_that_ends_in_the_middle_leaves_what_served_and_says_how_to_go_on(deploy, run, folder, home):
    told = deploy()
    (folder / "pipeline.yaml").write_text(PIPELINE.replace("served:add", "served:subtract"))
    with Queries(told["predict_url"]) as queries:
        until(lambda: queries.replies)
        ended = run("deploy", "plan.json", *PIPELINE_OPTION, *FREE)
    assert set(queries.outputs()) == {1}
    assert (ended.code, "Traceback" in ended.err) == (4, False)
    for words in (
        "failed: stage 'add': 0 of 1 replicas on cpu can serve and the others end again and again",
        "subtract",
        "0 of 5 steps are done",
        "under way: start add",
        "queries go to the former plan, of which nothing was stopped",
        "add 1 on cpu: 1 of 1 replicas can serve",
        "to go on: the same command again takes up from here",
        "to go back: inferline deploy with the former plan.json",
    ):
        assert words in ended.err, words
    (folder / "pipeline.yaml").write_text(PIPELINE)
    assert [step["kind"] for step in deploy()["steps"]] == ["stop"]
    assert ask(told, 3) == 7
    interrupted_it_says_the_same(folder)
    assert ask(told, 3) == 7
    (folder / "go").touch()
    assert [step["kind"] for step in deploy()["steps"]] == ["switch", "drain", "stop", "delete"]
    assert ask(told, 3) == 106


def interrupted_it_says_the_same(folder):
    (folder / "pipeline.yaml").write_text(PIPELINE.replace("served:add", "served:AddOnceTold"))
    process = subprocess.Popen(
        [*COMMAND, "deploy", "plan.json", *PIPELINE_OPTION, *FREE], stderr=subprocess.PIPE, text=True, cwd=folder
    )
    until((folder / "loading").exists)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted: queries go to the former plan, of which nothing was stopped" in said
    assert "Traceback" not in said


def test_versions_and_limits(deploy, run, folder, home):
    write(folder, double=("fast", 1, 1))
    deploy()
    told = deploy("plan.json", "--version", "add=2024.1")
    assert (told["stages"]["double"]["version"], told["stages"]["add"]["version"]) == ("1", "2024.1")
    (folder / "pipeline.yaml").write_text(PIPELINE.replace("limit: 2", "limit: 1"))
    limited = deploy()  # the version stays until its entry changes
    assert [step["kind"] for step in limited["steps"]] == ["switch"]
    ended = run("deploy", "plan.json", *PIPELINE_OPTION, "--version", "double=2")
    assert (ended.code, "a stage would be without replicas for a while: switch to the plan" in ended.err) == (2, True)
    assert ask(told, 3) == 7
    gone = deploy("plan.json", "--version", "double=2", "--allow-gaps")
    assert [step["kind"] for step in gone["steps"]] == ["switch", "drain", "stop", "start", "delete"]
    assert ask(told, 3) == 7


def test_a_core_that_runs_elsewhere_is_used_and_left_alone(deploy, run, home):
    other = deploy()
    server = other["admin_url"].removeprefix("http://")
    (home.parent / "guests.yaml").write_text(PIPELINE.replace("name: numbers", "name: guests"))
    where = ("--server", server, "--query-port", other["query_url"].rpartition(":")[2])
    rpc = json.loads((home / "numbers" / "wanted.json").read_text())["core"]["rpc_port"]
    ended = run("deploy", "plan.json", "--pipeline", "guests.yaml", *where, "--rpc-port", str(rpc))
    assert ended.code == 0, ended.err
    assert f"inferline status guests --target local --server {server} --query-port" in ended.out
    told = {"predict_url": f"{other['query_url']}/guests/predict"}
    assert ask(told, 3) == 7
    both = run("status", *where, "--over", "0.1s")
    assert (both.code, "guests at http://" in both.out, "numbers at http://" in both.out) == (0, True, True)
    ended = run("undeploy", "guests", "--server", server)
    assert (ended.code, f"deleted it from the serving core at http://{server}" in ended.out) == (0, True)
    assert httpx.post(told["predict_url"], json={"input": 3}).status_code == 404
    assert ask(other, 3) == 7


def test_a_stage_that_is_left_over_is_shown(deploy, run, folder, home):
    told = deploy()
    (folder / "pipeline.yaml").write_text(SHORTER)
    (folder / "short.json").write_text(
        json.dumps(
            {
                "version": 1,
                "stages": {"double": {"model": "doubler", "hardware": "cpu", "max_batch": 1, "replicas": 1}},
            }
        )
    )
    admin = AdminClient(told["admin_url"])
    with admin:  # as an attempt to deploy it that has ended after the switch
        admin.set_plan("numbers", json.loads((folder / "short.json").read_text()), pipeline=yaml.safe_load(SHORTER))
    seen = status(run, told)
    assert (list(seen["stages"]), seen["others"]["add"][0]["requested"]) == (["double"], 1)
    ended = run("status", "numbers", "--target", "local", "--over", "0.1s")
    assert "remark   stages that the plan does not have still run: add; deploy it again" in ended.out
    assert [step["kind"] for step in deploy("short.json")["steps"]] == ["stop", "delete"]
    assert status(run, told)["others"] == {}


def test_a_core_that_does_not_start(run, home):
    ended = run("deploy", "plan.json", *PIPELINE_OPTION, *FREE, "--serve-option=--no-such-option")
    assert (ended.code, "Traceback" in ended.err) == (4, False)
    assert "failed: the serving core of 'numbers' does not start" in ended.err
    assert ended.err.count("No such option") == 1
    assert "inferline undeploy numbers --target local ends what was started for it" in ended.err
    ended = run("undeploy", "numbers", "--target", "local")
    assert (ended.code, "numbers: stopped the serving core at 127.0.0.1:" in ended.out) == (0, True)
    until(lambda: not processes(home))
