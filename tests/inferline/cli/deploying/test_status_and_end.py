"""``inferline status`` and ``undeploy`` of what runs, as users run them: real cores and replicas as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess

from tests.inferline.cli.deploying.served_numbers import COMMAND, PIPELINE_OPTION, Queries, processes, status, until


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
