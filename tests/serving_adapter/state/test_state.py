"""What every store does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving_adapter.state import Application, ModelVersion, ReplicaRecord, Snapshot, open_state

NOTHING = Snapshot(applications={}, links={}, models={}, current={}, replicas={})


def test_it_begins_empty(state_url, within):
    async def scenario(state):
        assert await state.snapshot() == NOTHING
        assert await state.selection("digits", 0) is None

    within(state_url, scenario)


def test_what_is_put_is_there(state_url, within, application, model, replica):
    async def scenario(state):
        await state.put_application(application)
        await state.put_model(model)
        await state.set_current("svm", "1")
        await state.add_links("digits", ["svm"])
        await state.put_replica(replica)
        assert await state.snapshot() == Snapshot(
            applications={"digits": application},
            links={"digits": frozenset({"svm"})},
            models={("svm", "1"): model},
            current={"svm": "1"},
            replicas={("svm", "1", 0): replica},
        )

    within(state_url, scenario)


def test_what_is_put_again_replaces(state_url, within, application, model, replica):
    async def scenario(state):
        for slo in (20_000, 30_000):
            await state.put_application(replace(application, latency_slo_micros=slo))
        for labels in (("old",), ()):
            await state.put_model(replace(model, labels=labels, batch_size=len(labels) + 7))
        for connection in (3, 4):
            await state.put_replica(replace(replica, connection_id=connection))
        for version in ("1", "2"):
            await state.set_current("svm", version)
        snapshot = await state.snapshot()
        assert snapshot.applications == {"digits": replace(application, latency_slo_micros=30_000)}
        assert snapshot.models == {("svm", "1"): replace(model, labels=(), batch_size=7)}
        assert snapshot.replicas == {("svm", "1", 0): replace(replica, connection_id=4)}
        assert snapshot.current == {"svm": "2"}

    within(state_url, scenario)


def test_what_clipper_does_not_know_is_kept_too(state_url, within, application, model):
    async def scenario(state):
        ours = replace(application, queue_order="deadline")
        version = replace(model, batching="aimd", batch_wait_micros=0)
        await state.put_application(ours)
        await state.put_model(version)
        snapshot = await state.snapshot()
        assert (snapshot.applications["digits"], snapshot.models["svm", "1"]) == (ours, version)

    within(state_url, scenario)


def test_a_pipeline_is_kept_replaced_and_deleted(state_url, within, pipeline):
    async def scenario(state):
        await state.put_pipeline(pipeline)
        assert (await state.snapshot()).pipelines == {"ocr": pipeline}
        moved = replace(pipeline, plan='{"version": 1}', versions={"read": "2"})
        await state.put_pipeline(moved)
        assert (await state.snapshot()).pipelines == {"ocr": moved}
        await state.delete_pipeline("ocr")
        assert (await state.snapshot()).pipelines == {}

    within(state_url, scenario)


def test_versions_and_replicas_are_told_apart(state_url, within, model, replica):
    async def scenario(state):
        for version in ("1", "2"):
            await state.put_model(replace(model, version=version))
            for number in (0, 1):
                await state.put_replica(replace(replica, version=version, replica_id=number))
        await state.delete_model("svm", "1")
        await state.delete_replica("svm", "2", 0)
        snapshot = await state.snapshot()
        assert set(snapshot.models) == {("svm", "2")}
        assert set(snapshot.replicas) == {("svm", "1", 0), ("svm", "1", 1), ("svm", "2", 1)}

    within(state_url, scenario)


def test_a_deleted_version_leaves_links_and_current_version(state_url, within, model):
    async def scenario(state):
        await state.put_model(model)
        await state.set_current("svm", "1")
        await state.add_links("digits", ["svm"])
        await state.delete_model("svm", "1")
        snapshot = await state.snapshot()
        assert (snapshot.models, snapshot.current) == ({}, {"svm": "1"})
        assert snapshot.links == {"digits": {"svm"}}

    within(state_url, scenario)


def test_a_version_comes_back(state_url, within, model):
    async def scenario(state):
        for _ in range(2):
            await state.put_model(model)
            assert (await state.snapshot()).models == {("svm", "1"): model}
            await state.delete_model("svm", "1")
            assert (await state.snapshot()).models == {}

    within(state_url, scenario)


def test_links_are_added_and_removed(state_url, within):
    async def scenario(state):
        log = []
        for add, remove in ((["a", "b"], []), (["b", "c"], ["a"]), ([], ["nothing"]), ([], ["b", "c"])):
            await state.add_links("digits", add)
            await state.remove_links("digits", remove)
            log.append({name: sorted(models) for name, models in (await state.snapshot()).links.items()})
        assert log == [{"digits": ["a", "b"]}, {"digits": ["b", "c"]}, {"digits": ["b", "c"]}, {}]

    within(state_url, scenario)


def test_a_deleted_application_takes_its_links_and_selection_states_along(state_url, within, application):
    async def scenario(state):
        # Names that one of Redis's patterns, or a colon, could confuse.
        names = ["digits", "digits:2", "digit?", "*", "[d]igits", "digits\\"]
        for name in names:
            await state.put_application(replace(application, name=name))
            await state.add_links(name, ["svm"])
            for uid in (0, -7, 2**62):
                await state.put_selection(name, uid, f"{name} {uid}")
        left = set(names)
        for name in ("*", "digits", "digits\\", "digit?"):
            await state.delete_application(name)
            left.remove(name)
            snapshot = await state.snapshot()
            assert set(snapshot.applications) == set(snapshot.links) == left
            kept = {
                each for each in names if [await state.selection(each, uid) for uid in (0, -7, 2**62)] != [None] * 3
            }
            assert kept == left

    within(state_url, scenario)


def test_deleting_what_is_not_there_does_nothing(state_url, within):
    async def scenario(state):
        await state.delete_application("digits")
        await state.delete_model("svm", "1")
        await state.delete_replica("svm", "1", 0)
        await state.remove_links("digits", ["svm"])
        assert await state.snapshot() == NOTHING

    within(state_url, scenario)


def test_selection_states_belong_to_an_application_and_a_user(state_url, within):
    async def scenario(state):
        await state.put_selection("digits", 0, '{"y_hat": "0"}')
        await state.put_selection("digits", 1, "one")
        await state.put_selection("faces", 0, "faces")
        await state.put_selection("digits", 1, "one again")
        assert await state.selection("digits", 0) == '{"y_hat": "0"}'
        assert await state.selection("digits", 1) == "one again"
        assert await state.selection("faces", 0) == "faces"
        assert await state.selection("faces", 1) is None

    within(state_url, scenario)


def test_any_text_is_kept_as_it_is(state_url, within, application, model):
    text = "äöü 🦉 'quoted' \"twice\"\n\t{}:,;*?[\\] \x00 end"

    async def scenario(state):
        spoken = replace(application, name=text, default_output=text, policy=text)
        stored = replace(model, container_name=text, model_data_path="", labels=("a", "", "ü"))
        await state.put_application(spoken)
        await state.put_model(stored)
        await state.put_selection(text, 5, text)
        snapshot = await state.snapshot()
        assert snapshot.applications == {text: spoken}
        assert snapshot.models == {("svm", "1"): stored}
        assert await state.selection(text, 5) == text

    within(state_url, scenario)


def test_a_snapshot_does_not_show_what_happens_later(state_url, within, application):
    async def scenario(state):
        before = await state.snapshot()
        await state.put_application(application)
        await state.add_links("digits", ["svm"])
        assert before == NOTHING

    within(state_url, scenario)


def test_many_at_once_lose_nothing(state_url, within, application, replica):
    async def scenario(state):
        count = 40
        await asyncio.gather(
            *(state.put_application(replace(application, name=f"app{number}")) for number in range(count)),
            *(state.put_replica(replace(replica, replica_id=number)) for number in range(count)),
            *(state.add_links("digits", [f"model{number}"]) for number in range(count)),
        )
        snapshot = await state.snapshot()
        assert len(snapshot.applications) == len(snapshot.replicas) == len(snapshot.links["digits"]) == count
        removals = (state.remove_links("digits", [f"model{number}"]) for number in range(1, count))
        await asyncio.gather(*removals, *(state.snapshot() for _ in range(10)))
        assert (await state.snapshot()).links == {"digits": {"model0"}}

    within(state_url, scenario)


def test_readers_are_told_at_first_and_of_every_kind_of_change(
    state_url, within, told, application, model, replica, pipeline
):
    async def scenario(state):
        changes = state.changes()
        await told(state, changes, lambda now: now == NOTHING)
        await state.put_application(application)
        await told(state, changes, lambda now: now.applications)
        await state.put_model(model)
        await told(state, changes, lambda now: now.models)
        await state.set_current("svm", "1")
        await told(state, changes, lambda now: now.current)
        await state.add_links("digits", ["svm"])
        await told(state, changes, lambda now: now.links)
        await state.put_replica(replica)
        await told(state, changes, lambda now: now.replicas)
        await state.delete_replica("svm", "1", 0)
        await told(state, changes, lambda now: not now.replicas)
        await state.remove_links("digits", ["svm"])
        await told(state, changes, lambda now: not now.links)
        await state.delete_model("svm", "1")
        await told(state, changes, lambda now: not now.models)
        await state.delete_application("digits")
        await told(state, changes, lambda now: not now.applications)
        await state.put_pipeline(pipeline)
        await told(state, changes, lambda now: now.pipelines)
        await state.delete_pipeline("ocr")
        await told(state, changes, lambda now: not now.pipelines)

    within(state_url, scenario)


def test_every_reader_is_told_until_the_state_is_closed(state_url, application):
    async def read(state, saw):
        async for _ in state.changes():
            if not saw.is_set() and (await state.snapshot()).applications:
                saw.set()

    async def scenario():
        state = open_state(state_url)
        saw = [asyncio.Event(), asyncio.Event()]
        readers = [asyncio.create_task(read(state, each)) for each in saw]
        async with asyncio.timeout(10):
            await state.put_application(application)
            await asyncio.gather(*(each.wait() for each in saw))
            await state.close()
            await asyncio.gather(*readers)
            assert [None async for _ in state.changes()] == []

    asyncio.run(scenario())


NAMES = st.sampled_from(["a", "b", "a:b", "*"])
TYPES = st.sampled_from(["bytes", "integers", "floats", "doubles", "strings"])
TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters=",:"), min_size=1, max_size=3)
APPLICATIONS = st.builds(
    Application,
    name=NAMES,
    input_type=TYPES,
    default_output=TEXTS,
    latency_slo_micros=st.integers(-(2**31), 2**31 - 1),
    policy=TEXTS,
)
MODELS = st.builds(
    ModelVersion,
    name=st.sampled_from(["m", "n"]),
    version=st.sampled_from(["1", "1.0"]),
    input_type=TYPES,
    labels=st.lists(WORDS, max_size=3).map(tuple),
    container_name=TEXTS,
    model_data_path=TEXTS,
    batch_size=st.sampled_from([-1, 1, 8]),
)
REPLICAS = st.builds(
    ReplicaRecord,
    name=st.sampled_from(["m", "n"]),
    version=st.just("1"),
    replica_id=st.integers(0, 2),
    connection_id=st.integers(0, 9),
    input_type=TYPES,
)
MANY = st.lists(st.sampled_from("xyz"), max_size=3)
STEPS = st.one_of(
    st.tuples(st.just("put_application"), APPLICATIONS),
    st.tuples(st.just("delete_application"), NAMES),
    st.tuples(st.just("put_model"), MODELS),
    st.tuples(st.just("delete_model"), st.sampled_from(["m", "n"]), st.sampled_from(["1", "1.0"])),
    st.tuples(st.just("set_current"), NAMES, WORDS),
    st.tuples(st.just("add_links"), NAMES, MANY),
    st.tuples(st.just("remove_links"), NAMES, MANY),
    st.tuples(st.just("put_replica"), REPLICAS),
    st.tuples(st.just("delete_replica"), st.just("m"), st.just("1"), st.integers(0, 2)),
    st.tuples(st.just("put_selection"), NAMES, st.integers(0, 2), TEXTS),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=15))
def test_all_stores_agree_after_any_steps(redis_port, tmp_path_factory, steps):
    async def answer(url):
        state = open_state(url)
        try:
            for name, *values in steps:
                await getattr(state, name)(*values)
            selections = [await state.selection(name, uid) for name in ("a", "b", "a:b", "*") for uid in range(3)]
            return await state.snapshot(), selections
        finally:
            await state.close()

    with redis.Redis(port=redis_port) as raw:
        raw.flushall()
    file = tmp_path_factory.mktemp("sqlite") / "state.db"
    in_memory = asyncio.run(answer("memory://"))
    assert asyncio.run(answer(f"sqlite:///{file}")) == in_memory
    assert asyncio.run(answer(f"redis://127.0.0.1:{redis_port}")) == in_memory
