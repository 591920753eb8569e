"""Redis key by key, and event by event, as Clipper's own processes see it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import redis

from serving_adapter.state import Application, ModelVersion, ReplicaRecord

STATES, MODELS, CONTAINERS, APPLICATIONS, METADATA, LINKS = 1, 2, 3, 5, 6, 7

# What Clipper's management and query frontends write.
CLIPPER_APPLICATION = {
    "input_type": "floats",
    "policy": "DefaultOutputSelectionPolicy",
    "default_output": "0",
    "latency_slo_micros": "100000",
}
CLIPPER_MODEL = {
    "model_name": "net",
    "model_version": "1.0",
    "load": "0.000000",
    "input_type": "floats",
    "labels": "a,b",
    "container_name": "net:1.0",
    "model_data_path": "DEPRECATED",
    "batch_size": "-1",
    "valid": "",
}
CLIPPER_CONTAINER = {
    "model_id": "net:1.0",
    "model_name": "net",
    "model_version": "1.0",
    "model_replica_id": "2",
    "zmq_connection_id": "5",
    "batch_size": "1",
    "input_type": "floats",
}


@pytest.fixture
def url(redis_port):
    return f"redis://127.0.0.1:{redis_port}"


@pytest.fixture
def raw(redis_port):
    """Return what opens a raw client of one database."""
    clients = []

    def client(database):
        clients.append(redis.Redis(port=redis_port, db=database, decode_responses=True))
        return clients[-1]

    yield client
    for each in clients:
        each.close()


@pytest.fixture
def everything(raw):
    """Return what reads all of Redis: by database and key, the type and the value."""
    readers = {"hash": "hgetall", "string": "get", "set": "smembers"}

    def read():
        found = {}
        for database in range(16):
            client = raw(database)
            for key in client.keys("*"):
                kind = client.type(key)
                found[database, key] = kind, getattr(client, readers[kind])(key)
        return found

    return read


@pytest.fixture
def events(raw):
    """Return what subscribes, and then tells the events (database, key, event) since it was last called."""
    client = raw(0)
    client.config_set("notify-keyspace-events", "AKE")
    subscriber = client.pubsub()
    subscriber.psubscribe("__keyspace@*__:*")
    assert subscriber.get_message(timeout=5)["type"] == "psubscribe"

    def since():
        raw(0).set("until here", "")
        log = []
        while True:
            message = subscriber.get_message(timeout=5)
            database, key = message["channel"].removeprefix("__keyspace@").split("__:", 1)
            if key == "until here":
                return log
            log.append((int(database), key, message["data"]))

    yield since
    subscriber.close()


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


def test_what_clippers_frontends_write_is_read(url, within, raw):
    raw(APPLICATIONS).hset("vision", mapping=CLIPPER_APPLICATION)
    raw(MODELS).hset("net:1.0", mapping=CLIPPER_MODEL)
    raw(MODELS).hset("net:2", mapping=CLIPPER_MODEL | {"model_version": "2", "labels": "", "batch_size": "9"})
    raw(CONTAINERS).hset("net,1.0,2", mapping=CLIPPER_CONTAINER)
    raw(METADATA).set("CURRENT_MODEL_VERSION:net", "2")
    raw(LINKS).sadd("vision", "net")
    raw(STATES).set("vision:0:0", '{"y_hat":"0"}')

    async def scenario(state):
        snapshot = await state.snapshot()
        assert snapshot.applications == {
            "vision": Application(name="vision", input_type="floats", default_output="0", latency_slo_micros=100_000)
        }
        first = ModelVersion(
            name="net",
            version="1.0",
            input_type="floats",
            labels=("a", "b"),
            container_name="net:1.0",
            model_data_path="DEPRECATED",
            batch_size=-1,
        )
        second = replace(first, version="2", labels=(), batch_size=9)
        assert snapshot.models == {("net", "1.0"): first, ("net", "2"): second}
        assert snapshot.current == {"net": "2"}
        assert snapshot.links == {"vision": {"net"}}
        assert snapshot.replicas == {
            ("net", "1.0", 2): ReplicaRecord(
                name="net", version="1.0", replica_id=2, connection_id=5, input_type="floats"
            )
        }
        assert await state.selection("vision", 0) == '{"y_hat":"0"}'

    within(url, scenario)


def without(fields, name):
    return {key: value for key, value in fields.items() if key != name}


BROKEN = [
    (APPLICATIONS, "bad", without(CLIPPER_APPLICATION, "policy"), "no field policy"),
    (
        APPLICATIONS,
        "bad",
        CLIPPER_APPLICATION | {"latency_slo_micros": "1e5"},
        "latency_slo_micros is no integer: '1e5'",
    ),
    (APPLICATIONS, "bad", CLIPPER_APPLICATION | {"input_type": "double"}, "input_type is none of bytes, "),
    (APPLICATIONS, "bad", CLIPPER_APPLICATION | {"default_output": b"\xff"}, "not UTF-8"),
    (APPLICATIONS, b"\xff", CLIPPER_APPLICATION, "not UTF-8"),
    (APPLICATIONS, "bad", "a text", "WRONGTYPE"),
    (MODELS, "net:7", CLIPPER_MODEL, "the fields are those of 'net:1.0'"),
    (MODELS, "net:1.0", without(CLIPPER_MODEL, "valid"), "no field valid: marked for deletion"),
    (MODELS, "net:1.0", without(CLIPPER_MODEL, "labels"), "no field labels"),
    (MODELS, "net:1.0", CLIPPER_MODEL | {"batch_size": "many"}, "batch_size is no integer: 'many'"),
    (CONTAINERS, "net,1.0,3", CLIPPER_CONTAINER, "the fields are those of 'net,1.0,2'"),
    (CONTAINERS, "net,1.0,2", without(CLIPPER_CONTAINER, "zmq_connection_id"), "no field zmq_connection_id"),
    (METADATA, "CURRENT_MODEL_VERSION:bad", b"\xff", "not UTF-8"),
    (METADATA, "CURRENT_MODEL_VERSION:bad", {"a": "hash"}, "WRONGTYPE"),
    (LINKS, "bad", {"a": "hash"}, "WRONGTYPE"),
]


@pytest.mark.parametrize(("database", "key", "value", "reason"), BROKEN)
def test_what_is_broken_is_left_out_and_logged_once(
    url, within, raw, caplog, application, model, replica, database, key, value, reason
):
    client = raw(database)
    if isinstance(value, dict):
        client.hset(key, mapping=value)
    else:
        client.set(key, value)

    async def scenario(state):
        await state.put_application(application)
        await state.put_model(model)
        await state.set_current("svm", "1")
        await state.add_links("digits", ["svm"])
        await state.put_replica(replica)
        for _ in range(2):
            snapshot = await state.snapshot()
            assert snapshot.applications == {"digits": application}
            assert snapshot.models == {("svm", "1"): model}
            assert snapshot.current == {"svm": "1"}
            assert snapshot.links == {"digits": {"svm"}}
            assert snapshot.replicas == {("svm", "1", 0): replica}

    within(url, scenario)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("event=redis_entry_skipped kind=")
    assert reason in message


def test_other_keys_beside_the_current_versions_are_no_concern(url, within, raw, caplog):
    raw(METADATA).set("somebody else's", "value")

    async def scenario(state):
        assert (await state.snapshot()).current == {}

    within(url, scenario)
    assert caplog.records == []


def test_notifications_are_switched_on(url, within, raw):
    async def scenario(state):
        changes = state.changes()
        while raw(0).config_get("notify-keyspace-events") != {"notify-keyspace-events": "AKE"}:
            await anext(changes)

    within(url, scenario)


def test_readers_are_told_of_what_clipper_changes(url, within, told, raw):
    async def scenario(state):
        changes = state.changes()
        while raw(0).pubsub_numpat() < 5:
            await anext(changes)
        raw(APPLICATIONS).hset("vision", mapping=CLIPPER_APPLICATION)
        await told(state, changes, lambda now: now.applications)
        raw(MODELS).hset("net:1.0", mapping=CLIPPER_MODEL)
        await told(state, changes, lambda now: now.models)
        raw(METADATA).set("CURRENT_MODEL_VERSION:net", "1.0")
        await told(state, changes, lambda now: now.current)
        raw(LINKS).sadd("vision", "net")
        await told(state, changes, lambda now: now.links)
        raw(CONTAINERS).hset("net,1.0,2", mapping=CLIPPER_CONTAINER)
        await told(state, changes, lambda now: now.replicas)
        raw(APPLICATIONS).delete("vision")  # all that Clipper does
        await told(state, changes, lambda now: not now.applications)

    within(url, scenario)


def test_a_deletion_that_clipper_marked_is_completed(url, within, told, raw):
    async def scenario(state):
        changes = state.changes()
        while raw(0).pubsub_numpat() < 5:
            await anext(changes)
        client = raw(MODELS)
        client.hset("net:1.0", mapping=CLIPPER_MODEL)
        client.hdel("net:1.0", "load")  # no mark
        client.hdel("net:1.0", "valid")
        await told(state, changes, lambda _: not client.exists("net:1.0"))
        client.hset("net:1.0", mapping=CLIPPER_MODEL)
        await told(state, changes, lambda now: now.models)

    within(url, scenario)


def test_a_version_that_is_back_at_once_is_not_deleted(url, within, told, raw, events, model):
    async def scenario(state):
        changes = state.changes()
        while raw(0).pubsub_numpat() < 6:  # that of `events` among them
            await anext(changes)
        for _ in range(20):
            await state.put_model(model)
            await state.delete_model("svm", "1")
        await state.put_model(model)
        await state.set_current("svm", "last")
        await told(state, changes, lambda now: now.current)
        assert (await state.snapshot()).models == {("svm", "1"): model}

    within(url, scenario)
    # One deletion for each mark, and none by the listener.
    assert [event for _, key, event in events() if key == "svm:1"] == [*(["hset", "hdel", "del"] * 20), "hset"]


def test_many_selection_states_go_in_steps(url, within, raw):
    raw(STATES).mset({f"digits:{uid}:0": "{}" for uid in range(5000)} | {"digits:x:0": "", "faces:1:0": ""})

    async def scenario(state):
        await state.delete_application("digits")

    within(url, scenario)
    assert sorted(raw(STATES).keys("*")) == ["digits:x:0", "faces:1:0"]


def test_several_states_share_one_redis(url, within, told, application, raw):
    async def scenario(state):
        changes = state.changes()
        while raw(0).pubsub_numpat() < 5:
            await anext(changes)
        await asyncio.to_thread(within, url, lambda other: other.put_application(application))
        await told(state, changes, lambda now: now.applications == {"digits": application})

    within(url, scenario)
