"""Redis away, back, silent, guarded, or refusing to notify."""

from __future__ import annotations

import asyncio
import os
import signal
from time import monotonic

import pytest
import redis

from inferline.errors import OutsideError
from serving_adapter.state import open_state

PACKAGE = "serving_adapter.state.redis"
APPLICATION = {"input_type": "floats", "policy": "P", "default_output": "0", "latency_slo_micros": "1"}


async def until(reached):
    while not reached():
        await asyncio.sleep(0.01)


def test_killed_and_restarted(start_redis, within, told, caplog, application, model):
    process, port = start_redis()

    async def scenario(state):
        changes = state.changes()
        await state.put_application(application)
        await told(state, changes, lambda now: now.applications)

        process.kill()
        process.wait()
        for operation in (state.snapshot(), state.put_model(model), state.selection("digits", 0)):
            start = monotonic()
            with pytest.raises(OutsideError, match=rf"Redis at 127\.0\.0\.1:{port}: .*"):
                await operation
            assert monotonic() - start < 2.5

        await until(lambda: "event=redis_lost" in caplog.text)
        start_redis(port=port)  # it has forgotten everything, its settings too
        await told(state, changes, lambda now: not now.applications)
        await state.put_model(model)
        await told(state, changes, lambda now: now.models == {("svm", "1"): model})
        with redis.Redis(port=port, db=5) as raw:
            while raw.pubsub_numpat() < 5:
                await anext(changes)
            raw.hset("vision", mapping=APPLICATION)
        await told(state, changes, lambda now: set(now.applications) == {"vision"})

    within(f"redis://127.0.0.1:{port}", scenario)
    assert caplog.text.count("event=redis_lost") == 1


def test_away_at_first(start_redis, within, told, model):
    process, port = start_redis()
    process.kill()
    process.wait()

    async def scenario(state):
        changes = state.changes()
        await anext(changes)
        with pytest.raises(OutsideError, match="Redis at"):
            await state.put_model(model)
        start_redis(port=port)
        await state.put_model(model)
        await told(state, changes, lambda now: now.models)

    within(f"redis://127.0.0.1:{port}", scenario)


def test_connections_that_broke_since_they_were_used_are_made_again(redis_port, within, application, model, replica):
    async def scenario(state):
        for _ in range(2):
            await state.put_application(application)
            await state.put_model(model)
            await state.set_current("svm", "1")
            await state.add_links("digits", ["svm"])
            await state.put_replica(replica)
            await state.put_selection("digits", 0, "{}")
            with redis.Redis(port=redis_port) as raw:
                assert raw.client_kill_filter(_type="normal", skipme=True) == 6

    within(f"redis://127.0.0.1:{redis_port}", scenario)


def test_a_lost_subscription_is_made_again_with_its_settings(redis_port, within, told, caplog):
    async def scenario(state):
        changes = state.changes()
        with redis.Redis(port=redis_port, db=5) as raw:
            for losses in (1, 2, 3):
                while raw.pubsub_numpat() < 5:
                    await anext(changes)
                raw.config_set("notify-keyspace-events", "")
                raw.hset(f"unseen{losses}", mapping=APPLICATION)
                assert raw.client_kill_filter(_type="pubsub") == 1
                await told(state, changes, lambda now, losses=losses: len(now.applications) == losses)
                await until(lambda: raw.config_get()["notify-keyspace-events"] == "AKE")
                # That each loss is a warning tells that the pauses begin anew.
                assert caplog.text.count("event=redis_lost") == losses

    within(f"redis://127.0.0.1:{redis_port}", scenario)


def test_a_redis_that_does_not_answer_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(f"{PACKAGE}.connection.TIMEOUT_S", 0.2)

    async def scenario():
        held = []
        silent = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
        state = open_state(f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}")
        start = monotonic()
        with pytest.raises(OutsideError, match=r"no answer within 0\.2 s|Timeout"):
            await state.snapshot()
        assert monotonic() - start < 1
        await state.close()
        for writer in held:
            writer.close()
        silent.close()
        await silent.wait_closed()

    asyncio.run(scenario())


def test_a_connection_that_fell_silent_is_noticed(start_redis, within, told, monkeypatch, caplog):
    monkeypatch.setattr(f"{PACKAGE}.listening.QUIET_S", 0.05)
    monkeypatch.setattr(f"{PACKAGE}.listening.TIMEOUT_S", 0.2)
    process, port = start_redis()

    async def scenario(state):
        changes = state.changes()
        with redis.Redis(port=port, db=5) as raw:
            while raw.pubsub_numpat() < 5:
                await anext(changes)
        for _ in range(8):  # more than were owed for listening: silence has readers told, and is no loss
            await anext(changes)
        assert "event=redis_lost" not in caplog.text
        os.kill(process.pid, signal.SIGSTOP)
        await until(lambda: "event=redis_lost" in caplog.text)
        os.kill(process.pid, signal.SIGCONT)
        with redis.Redis(port=port, db=5) as raw:
            raw.hset("vision", mapping=APPLICATION)
        await told(state, changes, lambda now: now.applications)

    within(f"redis://127.0.0.1:{port}", scenario)


def test_polled_where_notifications_are_refused(start_redis, within, told, monkeypatch, caplog, model):
    monkeypatch.setattr(f"{PACKAGE}.listening.POLL_S", 0.02)
    _, port = start_redis("--rename-command", "CONFIG", "")

    async def scenario(state):
        changes = state.changes()
        with redis.Redis(port=port, db=5) as raw:
            raw.hset("vision", mapping=APPLICATION)
            await told(state, changes, lambda now: now.applications)
            raw.delete("vision")
        await told(state, changes, lambda now: not now.applications)
        await state.put_model(model)
        await told(state, changes, lambda now: now.models)

        yields = 0

        async def count():
            nonlocal yields
            async for _ in changes:
                yields += 1

        counting = asyncio.create_task(count())
        with redis.Redis(port=port) as raw:
            listings = raw.info("commandstats")["cmdstat_keys"]["calls"]
            await until(lambda: raw.info("commandstats")["cmdstat_keys"]["calls"] > listings + 50)
        counting.cancel()
        assert yields <= 1  # that one was owed for put_model

    within(f"redis://127.0.0.1:{port}", scenario)
    assert "event=redis_polled" in caplog.text
    assert "allow CONFIG SET notify-keyspace-events AKE" in caplog.text


def test_passwords(start_redis, within, told, model, caplog):
    _, port = start_redis("--requirepass", "p@ss/word")

    async def scenario(state):
        changes = state.changes()
        await state.put_model(model)
        await told(state, changes, lambda now: now.models)

    async def refused(state):
        with pytest.raises(OutsideError, match=rf"Redis at 127\.0\.0\.1:{port}: ") as caught:
            await state.put_model(model)
        assert "wrong" not in str(caught.value)

    within(f"redis://:p%40ss%2Fword@127.0.0.1:{port}", scenario)
    within(f"redis://default:p%40ss%2Fword@127.0.0.1:{port}", scenario)
    within(f"redis://:wrong@127.0.0.1:{port}", refused)
    within(f"redis://127.0.0.1:{port}", refused)


def test_a_plain_redis_is_not_taken_for_one_with_tls(redis_port, within, monkeypatch):
    monkeypatch.setattr(f"{PACKAGE}.connection.TIMEOUT_S", 0.5)

    async def scenario(state):
        with pytest.raises(OutsideError, match="Redis at"):
            await state.snapshot()

    within(f"rediss://127.0.0.1:{redis_port}", scenario)


def test_a_redis_with_too_few_databases_is_refused(start_redis, within, model, application):
    _, port = start_redis("--databases", "4")

    async def scenario(state):
        await state.put_model(model)
        with pytest.raises(OutsideError, match="DB index is out of range"):
            await state.put_application(application)

    within(f"redis://127.0.0.1:{port}", scenario)
