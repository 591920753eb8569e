"""What is read: all that Clipper's frontends write, and nothing that is broken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serving_adapter.state import Application, ModelVersion, ReplicaRecord
from tests.serving_adapter.state.redis.databases import (
    APPLICATIONS,
    CLIPPER_APPLICATION,
    CLIPPER_CONTAINER,
    CLIPPER_MODEL,
    CONTAINERS,
    LINKS,
    METADATA,
    MODELS,
    STATES,
)


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
