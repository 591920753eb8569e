"""What others change in Redis, and who is told."""

from __future__ import annotations

import asyncio

from tests.serving_adapter.state.redis.databases import (
    APPLICATIONS,
    CLIPPER_APPLICATION,
    CLIPPER_CONTAINER,
    CLIPPER_MODEL,
    CONTAINERS,
    LINKS,
    METADATA,
    MODELS,
)


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


def test_several_states_share_one_redis(url, within, told, application, raw):
    async def scenario(state):
        changes = state.changes()
        while raw(0).pubsub_numpat() < 5:
            await anext(changes)
        await asyncio.to_thread(within, url, lambda other: other.put_application(application))
        await told(state, changes, lambda now: now.applications == {"digits": application})

    within(url, scenario)
