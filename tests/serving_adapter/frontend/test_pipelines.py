"""Pipelines over real sockets: registered, walked, moved to other plans, and scaled while queries come."""

from __future__ import annotations

import json
import threading

import httpx
import pytest

PIPELINE = {
    "version": 1,
    "name": "words",
    "slo": {"latency": "200ms", "percentile": 99},
    "profiles": "profiles.csv",
    "hardware": {"cpu": {"price": 1}},
    "stages": {
        "split": {"model": "split"},
        "long": {
            "model": "long",
            "after": [{"stage": "split", "when": "output.length > 3", "probability": 0.5, "choice": "kind"}],
        },
        "short": {
            "model": "short",
            "after": [{"stage": "split", "when": "output.length <= 3", "probability": 0.5, "choice": "kind"}],
        },
        "say": {"model": "say", "after": ["split", "long", "short"]},
    },
    "models": {
        "split": {"callable": "m:f"},
        "long": {"callable": "m:f"},
        "short": {"callable": "m:f"},
        "say": {"callable": "m:f"},
    },
    "workload": {"generate": {"arrivals": "even", "rate": 1, "duration": "10s"}},
}


def plan(max_batch=4):
    stages = {
        name: {"model": name, "hardware": "cpu", "max_batch": max_batch, "replicas": 1} for name in PIPELINE["stages"]
    }
    return {"version": 1, "stages": stages}


MODELS = {
    "split": lambda texts: [{"text": text, "length": len(text)} for text in texts],
    "long": lambda found: [each["text"].upper() for each in found],
    "short": lambda found: [each["text"] * 2 for each in found],
    # A text that is JSON, like 11, arrives as what it says: as a number.
    "say": lambda joined: [f"{each['split']['text']} {each.get('long', each.get('short'))}" for each in joined],
}


def said(text):
    return f"{text} {text.upper() if len(text) > 3 else text * 2}"


def add(server, **more):
    reply = server.ask("add_pipeline", pipeline=PIPELINE, plan=plan(), **more)
    assert reply.status_code == 200, reply.text


def replica(server, stage, version="1", **options):
    return server.container(MODELS[stage], f"words.{stage}", version, "json", **options)


@pytest.fixture
def words(server):
    """Return a server with the pipeline, and one replica of each stage."""
    add(server)
    for stage in MODELS:
        replica(server, stage)
    return server


def test_a_query_walks_the_pipeline(words):
    assert words.predict("words", input="pipeline").json() == {
        "query_id": 0,
        "output": "pipeline PIPELINE",
        "default": False,
        "answered_by": ["say"],
    }
    reply = words.predict("words", input="ab", route=True).json()
    assert reply["output"] == "ab abab"
    assert [visit["stage"] for visit in reply["route"]] == ["split", "short", "say"]
    assert all(visit["service_s"] > 0 and visit["waiting_s"] >= 0 for visit in reply["route"])
    assert sum(visit["waiting_s"] + visit["service_s"] for visit in reply["route"]) <= reply["latency_s"]


def test_a_batch_of_inputs(words):
    replies = words.predict("words", input_batch=["a", "abcd", "abc"]).json()["batch_predictions"]
    assert [reply["output"] for reply in replies] == [said("a"), said("abcd"), said("abc")]


def test_the_metrics_name_pipeline_and_stages(words):
    words.predict("words", input="pipeline")
    text = words.query.get("/metrics", headers={"accept": "text/plain;version=0.0.4"}).text
    assert 'application="words"' in text
    assert 'model="words.split"' in text


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"{}", "There are no inputs"),
        (b'{"input": 1, "input_batch": [1]}', "There are both inputs"),
        (b"[1]", "Expected `object`"),
        (b'{"input": }', "JSON is malformed"),
        (b'{"input": "\xff"}', "utf-8"),
        (b'{"input": 1, "route": "yes"}', "Expected `bool`"),
    ],
)
def test_bodies_that_are_refused(words, body, cause):
    reply = words.query.post("/words/predict", content=body)
    assert reply.status_code == 400
    assert cause in reply.json()["cause"]
    assert words.predict("words", input="pipeline").json()["output"] == said("pipeline")


def test_an_output_that_no_condition_can_be_decided_on(server):
    add(server)
    server.container(lambda texts: ["nothing"] * len(texts), "words.split", "1", "json")
    reply = server.predict("words", input="x").json()
    assert (reply["default"], reply["output"], reply["answered_by"]) == (True, None, [])
    assert "stage 'split', edge to 'long'" in reply["default_explanation"]


def test_at_the_deadline_without_replicas(server):
    add(server, deadline_micros=50_000)
    reply = server.predict("words", input="x").json()
    assert reply["default_explanation"] == "the deadline of the query has come"


def test_what_is_registered_is_shown(words):
    shown = words.ask("get_pipeline", name="words").json()
    assert (shown["pipeline"], shown["plan"], shown["deadline_micros"]) == (PIPELINE, plan(), 2_000_000)
    assert shown["stages"]["say"] == {
        "model": "words.say",
        "version": "1",
        "input_type": "strings",
        "max_batch": 4,
        "replicas": 1,
    }
    assert words.ask("get_all_pipelines", verbose=False).json() == ["words"]
    assert words.ask("get_all_pipelines", verbose=True).json() == [shown]
    assert words.ask("get_pipeline", name="other").json() == {}
    assert "words.say:1" in words.ask("get_all_models", verbose=False).json()


def test_deleted_it_is_gone_with_its_models(words):
    assert words.ask("delete_pipeline", name="words").status_code == 200
    assert words.predict("words", input="x").status_code == 404
    assert words.ask("get_all_models", verbose=False).json() == []
    add(words)


def test_names_are_used_once(words):
    assert "pipeline 'words' already exists" in words.ask("add_pipeline", pipeline=PIPELINE, plan=plan()).text
    assert (
        "pipeline 'words' already exists"
        in words.ask("add_app", name="words", input_type="doubles", default_output="", latency_slo_micros=1000).text
    )
    words.application("other")
    other = {**PIPELINE, "name": "other"}
    assert "application 'other' already exists" in words.ask("add_pipeline", pipeline=other, plan=plan()).text


def test_all_faults_are_told(server):
    broken = {**PIPELINE, "slo": {"latency": "soon"}, "stages": {"a": {"model": "m", "after": ["b"]}}}
    reply = server.ask("add_pipeline", pipeline=broken, plan=plan())
    assert reply.status_code == 400
    assert "slo.latency" in reply.text
    assert "stages.a.after[0]" in reply.text
    less = {"version": 1, "stages": {"split": plan()["stages"]["split"]}}
    assert "plan: stages" in server.ask("add_pipeline", pipeline=PIPELINE, plan=less).text
    assert "no stage 'x'" in server.ask("add_pipeline", pipeline=PIPELINE, plan=plan(), versions={"x": "1"}).text


def test_another_version_of_a_stage_takes_over(words):
    words.container(lambda joined: ["new"] * len(joined), "words.say", "2", "json")
    assert words.predict("words", input="abcd").json()["output"] == said("abcd")
    assert words.ask("set_plan", name="words", plan=plan(), versions={"say": "2"}).status_code == 200
    assert words.predict("words", input="abcd").json()["output"] == "new"
    assert words.ask("get_pipeline", name="words").json()["versions"]["say"] == "2"


def test_it_survives_a_restart_of_the_server(serve_process, tmp_path):
    state = f"sqlite:///{tmp_path}/state.db"
    first = serve_process("--state", state)
    add(first)
    first.process.terminate()
    first.process.wait(20)
    second = serve_process("--state", state)
    for stage in MODELS:
        replica(second, stage)
    assert second.predict("words", input="abcd").json()["output"] == said("abcd")


def test_nothing_is_lost_while_a_stage_is_scaled_and_its_batch_size_changed(words):
    """10,000 queries over 20 connections; ``say`` goes from 1 to 4 to 2 replicas, its batch size up and down."""
    queries, threads = 10_000, 20
    texts = [f"w{i % 100}" if i % 3 else f"w{i}-long" for i in range(queries)]
    wrong, done = [], []
    routes = {"long": ["split", "long", "say"], "short": ["split", "short", "say"]}

    def send(first):
        with httpx.Client(base_url=words.query.base_url, timeout=30) as client:
            for text in texts[first::threads]:
                body = json.dumps({"input": text, "route": True})
                reply = client.post("/words/predict", content=body).json()
                route = routes["long" if len(text) > 3 else "short"]
                if reply["output"] != said(text) or [each["stage"] for each in reply["route"]] != route:
                    wrong.append((text, reply))
                done.append(text)

    senders = [threading.Thread(target=send, args=(first,)) for first in range(threads)]
    for sender in senders:
        sender.start()

    def after(share):
        words.until(lambda: len(done) >= share * queries, seconds=120)

    def set_batch(max_batch):
        reply = words.ask("set_batch_size", name="words", stage="say", max_batch=max_batch)
        assert reply.status_code == 200, reply.text

    after(0.1)
    more = [replica(words, "say") for _ in range(3)]
    after(0.3)
    set_batch(16)
    after(0.5)
    more[0]()
    more[1]()
    after(0.7)
    set_batch(1)
    after(0.8)
    assert words.ask("set_plan", name="words", plan=plan(max_batch=8)).status_code == 200
    for sender in senders:
        sender.join(120)
    assert (len(done), wrong) == (queries, [])
    assert words.ask("get_pipeline", name="words").json()["stages"]["say"]["replicas"] == 2
