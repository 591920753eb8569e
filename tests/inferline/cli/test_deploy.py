"""``inferline deploy``, ``status`` and ``undeploy``, as users run them: real cores and replicas as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import yaml

PIPELINE = """\
version: 1
name: numbers
slo: {latency: 100ms, percentile: 99}
profiles: profiles.csv
hardware:
  cpu:  {price: $0.05/h}
  fast: {price: $0.10/h, limit: 2}
stages:
  double: {model: doubler}
  add: {model: adder, after: [double]}
models:
  doubler: {callable: "served:double", sample: inputs.jsonl}
  adder: {callable: "served:add"}
workload:
  generate: {arrivals: even, rate: 1, duration: 10s}
"""

MODELS = """\
import time
from pathlib import Path

HERE = Path(__file__).parent

def double(inputs):
    return [2 * each for each in inputs]

def add(inputs):
    return [each + 1 for each in inputs]

def add_ten(inputs):
    return [each + 10 for each in inputs]

class AddOnceTold:
    def __init__(self):
        (HERE / "loading").touch()
        while not (HERE / "go").exists():
            time.sleep(0.01)

    def __call__(self, inputs):
        return [each + 100 for each in inputs]
"""

COMMAND = [sys.executable, "-u", "-c", "from inferline.cli import main; main()"]
FREE = ("--query-port", "0", "--admin-port", "0", "--rpc-port", "0")
PIPELINE_OPTION = ("--pipeline", "pipeline.yaml")


def write(folder, name="plan.json", *, double=("cpu", 1, 1), add=("cpu", 1, 1), **more):
    """Write a plan by hand from (hardware, replicas, maximum batch size) of both stages."""
    stages = {
        stage: {"model": model, "hardware": of[0], "replicas": of[1], "max_batch": of[2]}
        for stage, model, of in (("double", "doubler", double), ("add", "adder", add))
    }
    (folder / name).write_text(json.dumps({"version": 1, "stages": stages, **more}))
    return name


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


def processes(home):
    """Return the processes of deployments that are kept there: what each is called, by number."""
    found = {}
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            texts = (each / "environ").read_bytes().decode(errors="replace").split("\0")
            variables = dict(text.partition("=")[::2] for text in texts)
            if variables.get("INFERLINE_DEPLOYMENT_FOLDER", "").startswith(str(home)):
                found[int(each.name)] = Path(variables.get("INFERLINE_READY_FILE", "core")).name
    return found


def until(condition, seconds=30.0):
    """Wait until something is so, and return what; nothing else is waited for in these tests."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return result


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


def ask(told, number):
    return httpx.post(told["predict_url"], json={"input": number}, timeout=20).json()["output"]


class Queries:
    """Queries, one after the other, until they are ended; each is (input, reply)."""

    def __init__(self, url):
        self.replies = []
        self._url = url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self):
        with httpx.Client(timeout=20) as client:
            number = 0
            while not self._ended.is_set():
                reply = client.post(self._url, json={"input": number})
                self.replies.append((number, reply.status_code, reply.json()))
                number += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._ended.set()
        self._thread.join(30)

    def outputs(self):
        """Return what was added to each double, in order; a query that was lost is named."""
        lost = [each for each in self.replies if each[1] != 200 or each[2]["default"]]
        assert lost == []
        return [reply["output"] - 2 * number for number, _, reply in self.replies]


def status(run, told, *options):
    server = told["admin_url"].removeprefix("http://")
    port = told["query_url"].rpartition(":")[2]
    arguments = ("--server", server, "--query-port", port, "--target", "local", "--over", "0.2s", "--format", "json")
    ended = run("status", "numbers", *arguments, *options)
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)["pipelines"][0]


def requested(seen, stage):
    return {(each["version"], each["hardware"]): each["requested"] for each in seen["stages"][stage]["sets"]}


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


def test_what_runs_is_shown_repaired_and_stopped(deploy, run, folder, home):
    told = deploy()
    killed = next(pid for pid, name in processes(home).items() if name.startswith("add"))
    with Queries(told["predict_url"]) as queries:
        until(lambda: len(queries.replies) > 20)
        seen = status(run, told)
        os.kill(killed, signal.SIGKILL)
        until(lambda: status(run, told)["stages"]["add"]["sets"][0]["restarts"] == 1)
        until(lambda: status(run, told)["stages"]["add"]["observed"] == 1)
        sent = len(queries.replies)
        until(lambda: len(queries.replies) > sent + 5)
    add = seen["stages"]["add"]
    assert (add["observed"], add["version"], add["model"], add["max_batch"]) == (1, "1", "adder", 1)
    assert add["rate_qps"] > 5
    assert 0 < add["utilisation"] <= 1
    assert (add["sets"][0]["planned"], add["sets"][0]["phases"]) == (1, {"ready": 1})
    assert seen["attainment"]["queries"] >= 20
    assert 0 <= seen["attainment"]["at_least"] <= seen["attainment"]["at_most"] <= 1
    assert seen["recent_attainment"]["queries"] > 0
    assert seen["slo"] == {"latency_s": 0.1, "percentile": 99}
    it_is_shown_to_people(run, told)
    watching_ends_well_when_somebody_ends_it(folder, told)
    undeploying_says_what_was_stopped(run, home, told)


def it_is_shown_to_people(run, told):
    ended = run("status", "pipeline.yaml", "--target", "local", "--over", "0.1s")  # the target knows its core
    assert ended.code == 0, ended.err
    for words in ("double", "queries within it since the core started", "no query in the last", told["predict_url"]):
        assert words in ended.out
    missing = run("status", "numbres", "--server", told["admin_url"])
    assert (missing.code, "(did you mean 'numbers'?)" in missing.err) == (2, True)
    ended = run("deploy", "plan.json", *PIPELINE_OPTION)
    assert (ended.code, ended.out.count("nothing changed: numbers runs at target local, $0.1000/h")) == (0, 1)
    assert "status   inferline status numbers --target local\n" in ended.out
    line = next(line for line in ended.out.splitlines() if line.startswith("try "))
    answer = subprocess.run(line.removeprefix("try "), shell=True, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)["output"] == 11


def watching_ends_well_when_somebody_ends_it(folder, told):
    where = ("--server", told["admin_url"], "--query-port", told["query_url"].rpartition(":")[2], "--over", "0.1s")
    process = subprocess.Popen(
        [*COMMAND, "status", "--watch", *where], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
    )
    looks = 0
    while looks < 2:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        looks += line.startswith("numbers at ")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "")


def undeploying_says_what_was_stopped(run, home, told):
    ended = run("undeploy", "pipeline.yaml")
    port = told["query_url"].rpartition(":")[2]
    assert (ended.code, ended.out) == (
        0,
        "numbers: stopped 2 replicas (1 of add 1 on cpu, 1 of double 1 on cpu), "
        f"stopped the serving core at 127.0.0.1:{port}\n",
    )
    until(lambda: not processes(home))
    again = run("undeploy", "numbers")
    assert (again.code, again.out) == (0, "numbers: nothing of it is at target local\n")
    assert json.loads(run("undeploy", "numbers", "--format", "json").out)["stopped"] == []


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


def test_a_core_that_does_not_start(run, home):
    ended = run("deploy", "plan.json", *PIPELINE_OPTION, *FREE, "--serve-option=--no-such-option")
    assert (ended.code, "Traceback" in ended.err) == (4, False)
    assert "failed: the serving core of 'numbers' does not start" in ended.err
    assert "inferline undeploy numbers --target local ends what was started for it" in ended.err
    ended = run("undeploy", "numbers", "--target", "local")
    assert (ended.code, "numbers: stopped the serving core at 127.0.0.1:" in ended.out) == (0, True)
    until(lambda: not processes(home))


# Without anything that runs


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
