"""What is written: every key of Redis, and every event."""

from __future__ import annotations

from dataclasses import replace

from tests.serving_adapter.state.redis.databases import APPLICATIONS, CONTAINERS, LINKS, METADATA, MODELS, STATES


def test_every_key(url, within, everything, application, model, replica):
    async def scenario(state):
        await state.put_application(application)
        await state.put_selection("digits", 0, '{"y_hat": "-1.0"}')
        await state.put_model(model)
        await state.set_current("svm", "1")
        await state.add_links("digits", ["svm", "net"])
        await state.put_replica(replica)

    within(url, scenario)
    assert everything() == {
        (STATES, "digits:0:0"): ("string", '{"y_hat": "-1.0"}'),
        (MODELS, "svm:1"): (
            "hash",
            {
                "model_name": "svm",
                "model_version": "1",
                "load": "0.000000",
                "input_type": "doubles",
                "labels": "prod,eu",
                "container_name": "svm:1",
                "model_data_path": "/models/svm",
                "batch_size": "-1",
                "valid": "",
            },
        ),
        (CONTAINERS, "svm,1,0"): (
            "hash",
            {
                "model_id": "svm:1",
                "model_name": "svm",
                "model_version": "1",
                "model_replica_id": "0",
                "zmq_connection_id": "3",
                "batch_size": "1",
                "input_type": "doubles",
            },
        ),
        (APPLICATIONS, "digits"): (
            "hash",
            {
                "input_type": "doubles",
                "policy": "DefaultOutputSelectionPolicy",
                "default_output": "-1.0",
                "latency_slo_micros": "20000",
            },
        ),
        (METADATA, "CURRENT_MODEL_VERSION:svm"): ("string", "1"),
        (LINKS, "digits"): ("set", {"svm", "net"}),
    }


def test_nothing_is_left_but_the_current_version(url, within, everything, application, model, replica):
    async def scenario(state):
        await state.put_application(application)
        await state.put_selection("digits", 0, "{}")
        await state.put_model(replace(model, labels=()))
        await state.set_current("svm", "1")
        await state.add_links("digits", ["svm"])
        await state.put_replica(replica)
        assert everything()[MODELS, "svm:1"][1]["labels"] == ""
        await state.delete_replica("svm", "1", 0)
        await state.delete_model("svm", "1")
        await state.delete_application("digits")

    within(url, scenario)
    assert everything() == {(METADATA, "CURRENT_MODEL_VERSION:svm"): ("string", "1")}


def test_every_event(url, within, events, application, model, replica):
    log = []

    async def scenario(state):
        for step in (
            state.put_application(application),
            state.put_model(model),
            state.set_current("svm", "1"),
            state.add_links("digits", ["svm"]),
            state.put_replica(replica),
            state.remove_links("digits", ["svm"]),
            state.delete_replica("svm", "1", 0),
            state.delete_model("svm", "1"),
            state.delete_application("digits"),
        ):
            await step
            log.append(events())

    within(url, scenario)
    assert log == [
        [(APPLICATIONS, "digits", "hset")],
        [(MODELS, "svm:1", "hset")],
        [(METADATA, "CURRENT_MODEL_VERSION:svm", "set")],
        [(LINKS, "digits", "sadd")],
        [(CONTAINERS, "svm,1,0", "hset")],
        [(LINKS, "digits", "srem"), (LINKS, "digits", "del")],
        [(CONTAINERS, "svm,1,0", "del")],
        [(MODELS, "svm:1", "hdel"), (MODELS, "svm:1", "del")],
        [(APPLICATIONS, "digits", "hdel"), (APPLICATIONS, "digits", "del")],
    ]


def test_what_else_lies_in_an_application_goes_with_it(url, within, raw, events, application):
    async def scenario(state):
        await state.put_application(application)
        raw(APPLICATIONS).hset("digits", "note", "somebody else's")
        events()
        await state.delete_application("digits")
        assert events() == [(APPLICATIONS, "digits", "hdel"), (APPLICATIONS, "digits", "del")]
        assert (await state.snapshot()).applications == {}

    within(url, scenario)


def test_many_selection_states_go_in_steps(url, within, raw):
    raw(STATES).mset({f"digits:{uid}:0": "{}" for uid in range(5000)} | {"digits:x:0": "", "faces:1:0": ""})

    async def scenario(state):
        await state.delete_application("digits")

    within(url, scenario)
    assert sorted(raw(STATES).keys("*")) == ["digits:x:0", "faces:1:0"]
