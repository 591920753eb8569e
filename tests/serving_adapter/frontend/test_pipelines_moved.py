"""A pipeline whose file changes while it serves: queries take the way that held when they came."""

from __future__ import annotations

import threading

PIPELINE = {
    "version": 1,
    "name": "words",
    "slo": {"latency": "500ms", "percentile": 99},
    "profiles": "profiles.csv",
    "hardware": {"cpu": {"price": 1}},
    "stages": {"first": {"model": "m"}, "second": {"model": "m", "after": ["first"]}},
    "models": {"m": {"callable": "m:f"}},
    "workload": {"generate": {"arrivals": "even", "rate": 1, "duration": "10s"}},
}
SHORTER = {**PIPELINE, "stages": {"first": {"model": "m"}}}


def plan(*stages):
    chosen = {"model": "m", "hardware": "cpu", "max_batch": 1, "replicas": 1}
    return {"version": 1, "stages": dict.fromkeys(stages, chosen)}


def test_queries_on_their_way_to_a_stage_that_goes_still_get_there(server):
    entered, told = threading.Event(), threading.Event()

    def slowly(texts):
        entered.set()
        assert told.wait(10)
        return [f"{text}1" for text in texts]

    added = server.ask("add_pipeline", pipeline=PIPELINE, plan=plan("first", "second"))
    assert added.status_code == 200, added.text
    server.container(slowly, "words.first", "1", "json")
    server.container(lambda texts: [f"{text}2" for text in texts], "words.second", "1", "json")
    replies = []
    asking = threading.Thread(target=lambda: replies.append(server.predict("words", input="a").json()))
    asking.start()
    assert entered.wait(10)
    moved = server.ask("set_plan", name="words", plan=plan("first"), pipeline=SHORTER)
    assert moved.status_code == 200, moved.text
    told.set()
    asking.join(10)
    assert (replies[0]["output"], replies[0]["answered_by"]) == ("a12", ["second"])
    assert server.predict("words", input="a").json()["answered_by"] == ["first"]
    shown = server.ask("get_pipeline", name="words").json()
    assert (shown["pipeline"], shown["versions"]) == (SHORTER, {"first": "1"})


def test_a_stage_that_comes_back_begins_as_version_1(server):
    server.ask("add_pipeline", pipeline=SHORTER, plan=plan("first"), versions={"first": "7"})
    reply = server.ask("set_plan", name="words", plan=plan("first", "second"), pipeline=PIPELINE)
    assert reply.status_code == 200, reply.text
    assert server.ask("get_pipeline", name="words").json()["versions"] == {"first": "7", "second": "1"}


def test_a_file_of_another_pipeline_is_refused(server):
    server.ask("add_pipeline", pipeline=SHORTER, plan=plan("first"))
    reply = server.ask("set_plan", name="words", plan=plan("first"), pipeline={**SHORTER, "name": "other"})
    assert (reply.status_code, reply.text) == (400, "the pipeline is called 'other', not 'words'")
    assert server.ask("get_pipeline", name="words").json()["pipeline"] == SHORTER
