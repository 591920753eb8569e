"""Records in front of a store that is slow, gone or broken; a real one, with a gate in front of it."""

import asyncio
import time

import pytest

from inferline.errors import OutsideError
from serving_adapter.frontend import store
from serving_adapter.frontend.store import Store
from serving_adapter.state import Application, ReplicaRecord, open_state

APP = Application(name="a", input_type="doubles", default_output="0", latency_slo_micros=1, policy="Exp4")


def replica(number):
    return ReplicaRecord(name="m", version="1", replica_id=number, connection_id=number, input_type="doubles")


class Gated:
    """A store in memory whose every call waits for a gate, is written down, and may be made to fail."""

    def __init__(self):
        self.state = open_state("memory://")
        self.gate = asyncio.Event()
        self.calls = []
        self.errors = []

    def __getattr__(self, method):
        async def call(*arguments):
            await self.gate.wait()
            self.calls.append((method, *arguments))
            if self.errors:
                raise self.errors.pop(0)
            return await getattr(self.state, method)(*arguments)

        return call


@pytest.fixture
def within():
    """Return what runs a scenario with a store behind a gate."""

    def run(scenario):
        async def opened():
            gated = Gated()
            behind = Store(gated)
            async with asyncio.timeout(10):
                await scenario(behind, gated)

        asyncio.run(opened())

    return run


def test_records_wait_for_nobody_and_keep_their_order(within):
    async def scenario(records, gated):
        records.put_replica(replica(0))
        records.put_replica(replica(1))
        records.delete_replica("m", "1", 0)
        await asyncio.sleep(0)
        assert gated.calls == []
        gated.gate.set()
        await records.close(5)
        assert [call[0] for call in gated.calls] == ["put_replica", "put_replica", "delete_replica", "close"]
        assert list((await gated.state.snapshot()).replicas) == [("m", "1", 1)]

    within(scenario)


def test_of_what_is_learnt_meanwhile_the_last_is_kept_and_read(within):
    async def scenario(records, gated):
        records.put_replica(replica(0))  # holds the others up
        await asyncio.sleep(0)
        for text in ("one", "two", "three"):
            records.put_selection("a", 7, text)
        assert await records.selection("a", 7) == "three"
        gated.gate.set()
        await records.close(5)
        assert [call for call in gated.calls if call[0] == "put_selection"] == [("put_selection", "a", 7, "three")]

    within(scenario)


def test_what_a_deleted_application_has_learnt_goes_with_it(within):
    async def scenario(records, gated):
        records.put_replica(replica(0))
        await asyncio.sleep(0)
        records.put_selection("a", 7, "learnt")
        records.put_selection("b", 7, "learnt")
        deleting = asyncio.create_task(records.write("delete_application", "a"))
        await asyncio.sleep(0)
        gated.gate.set()
        await deleting
        assert await records.selection("a", 7) is None
        await records.close(5)
        assert await gated.state.selection("a", 7) is None
        assert await gated.state.selection("b", 7) == "learnt"

    within(scenario)


def test_a_record_that_fails_is_lost_alone(within, caplog):
    async def scenario(records, gated):
        gated.errors = [OutsideError("gone"), OverflowError("a mistake")]
        gated.gate.set()
        for number in range(3):
            records.put_replica(replica(number))
        await records.close(5)
        assert list((await gated.state.snapshot()).replicas) == [("m", "1", 2)]

    within(scenario)
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


def test_after_a_failure_nothing_is_asked_for_a_while(within, monkeypatch):
    monkeypatch.setattr(store, "_RETRY_S", 0.1)

    async def scenario(records, gated):
        gated.gate.set()
        gated.errors = [OutsideError("gone")]
        for _ in range(3):
            with pytest.raises(OutsideError):
                await records.selection("a", 7)
        assert len(gated.calls) == 1
        await asyncio.sleep(0.11)
        assert await records.selection("a", 7) is None
        await records.close(5)

    within(scenario)


def test_too_many_records_are_lost_and_the_end_does_not_wait_for_ever(within, monkeypatch, caplog):
    monkeypatch.setattr(store, "_MOST_BEHIND", 2)

    async def scenario(records, gated):
        for number in range(5):
            records.put_replica(replica(number))
        records.put_selection("a", 7, "lost")
        gated.close = gated.state.close
        start = time.monotonic()
        await records.close(0.1)
        assert 0.1 <= time.monotonic() - start < 2

    within(scenario)
    said = [record.getMessage() for record in caplog.records]
    assert sum("too far behind" in line for line in said) == 4
    assert "event=records_lost count=2" in said[-1]
