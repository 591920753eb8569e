"""Each store under the same tests; and records to keep in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from serving_adapter.state import (
    Application,
    ModelVersion,
    PipelineRecord,
    ReplicaRecord,
    Snapshot,
    State,
    open_state,
)

PATIENCE_S = 10.0


@pytest.fixture(params=["memory", "sqlite", "redis"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "redis":
        return f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}"
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
def within() -> Callable[[str, Callable[[State], Awaitable[None]]], None]:
    """Return what runs a scenario in an event loop, on the state of that URL, and closes that."""

    def run(url: str, scenario: Callable[[State], Awaitable[None]]) -> None:
        async def opened() -> None:
            state = open_state(url)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await scenario(state)
            finally:
                await state.close()

        asyncio.run(opened())

    return run


@pytest.fixture
def told() -> Callable[[State, AsyncIterator[None], Callable[[Snapshot], bool]], Awaitable[None]]:
    """Return what follows the changes until a snapshot is as it should be."""

    async def follow(state: State, changes: AsyncIterator[None], wanted: Callable[[Snapshot], bool]) -> None:
        async for _ in changes:
            if wanted(await state.snapshot()):
                return
        pytest.fail("the changes ended")

    return follow


@pytest.fixture
def application() -> Application:
    return Application(name="digits", input_type="doubles", default_output="-1.0", latency_slo_micros=20_000)


@pytest.fixture
def model() -> ModelVersion:
    return ModelVersion(
        name="svm",
        version="1",
        input_type="doubles",
        labels=("prod", "eu"),
        container_name="svm:1",
        model_data_path="/models/svm",
        batch_size=-1,
    )


@pytest.fixture
def pipeline() -> PipelineRecord:
    return PipelineRecord(
        name="ocr", document='{"name": "ocr"}', plan="{}", versions={"read": "1", "turn": "b"}, deadline_micros=2**40
    )


@pytest.fixture
def replica() -> ReplicaRecord:
    return ReplicaRecord(name="svm", version="1", replica_id=0, connection_id=3, input_type="doubles")
