"""The container RPC byte by byte: a container made of raw frames, well-behaved or not."""

import struct
import threading
import time

import pytest

from serving_adapter.frontend.http import Limits
from serving_adapter.rpc.wire import DataType
from tests.serving_adapter.frontend.raw_container import DOUBLES, HEARTBEAT, U32, Asking, new_container, response


@pytest.fixture
def app(server):
    server.application(slo_micros=3_000_000)
    server.model(batch_size=4)
    server.link()
    return server


def test_one_exchange_byte_by_byte(app, raw):
    container = raw(app)
    container.register()
    asking = Asking(app, input_batch=[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert container.receive() == [
        b"",
        U32(3),
        U32(1),
        U32(0),
        U32(0),
        bytes.fromhex("2000000000000000"),
        bytes.fromhex("0300000000000000020000000000000018000000000000001800000000000000"),
        struct.pack("<3d", 1, 2, 3),
        struct.pack("<3d", 4, 5, 6),
    ]
    container.send(response(0, b"1.0", b"two"))
    assert [each["output"] for each in asking.reply()["batch_predictions"]] == [1.0, "two"]


def test_one_batch_in_flight_and_the_maximum_is_kept(app, raw):
    container = raw(app)
    container.register()
    asking = Asking(app, input_batch=[[float(i)] for i in range(6)])
    message, inputs = container.request()
    assert len(inputs) == 4
    assert container.silent()
    container.send(response(message, *[b"a"] * 4))
    message, inputs = container.request()
    assert (message, len(inputs)) == (1, 2)
    container.send(response(message, *[b"b"] * 2))
    assert [each["output"] for each in asking.reply()["batch_predictions"]] == ["a"] * 4 + ["b"] * 2


def test_a_container_may_come_before_its_model(server, raw):
    container = raw(server)
    container.register()
    server.until(server.containers)
    server.application()
    server.model()
    server.link()
    asking = Asking(server, input=[1.0])
    message, _ = container.request()
    container.send(response(message, b"1"))
    assert asking.reply()["default"] is False


def test_replica_ids_are_never_used_again(app, raw):
    first, second = raw(app), raw(app)
    first.register()
    app.until(lambda: app.containers() == ["m:1:0"])
    second.register()
    app.until(lambda: app.containers() == ["m:1:0", "m:1:1"])
    first.socket.close()
    app.until(lambda: app.containers() == ["m:1:1"])
    raw(app).register()
    app.until(lambda: app.containers() == ["m:1:1", "m:1:2"])


@pytest.mark.parametrize("rpc", [None, 2])
def test_another_rpc_version_is_not_registered_and_asked_again(app, raw, rpc):
    container = raw(app)
    container.send(new_container(rpc=rpc))
    container.send(HEARTBEAT)
    assert container.receive() == [b"", U32(3), U32(2), U32(1)]
    assert app.containers() == []


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"x", U32(2)],
        [b"", b""],
        [b"", U32(9)],
        [b"", U32(2), b"more"],
        [b"", U32(0), b"m"],
        [b"", U32(0), b"\xff", b"1", DOUBLES, U32(3)],
        [b"", U32(0), b"m", b"1", b"7", U32(3)],
        [b"", U32(1), U32(0)],
        [b"", U32(1), U32(0), b"\0" * 8, b"", b"x"],
        response(77, b"nobody asked"),
    ],
)
def test_malformed_and_unasked_messages_change_nothing(app, raw, frames):
    good, bad = raw(app), raw(app)
    good.register()
    bad.send(frames)
    bad.send(HEARTBEAT)
    assert bad.receive() == [b"", U32(3), U32(2), U32(1)]
    asking = Asking(app, input=[1.0])
    message, _ = good.request()
    good.send(response(message, b"1"))
    assert asking.reply()["default"] is False


def test_a_second_registration_is_ignored(app, raw):
    container = raw(app)
    container.register()
    container.send(new_container(version=b"2"))
    container.send(HEARTBEAT)
    container.receive()
    assert app.containers() == ["m:1:0"]


def test_wrong_ids_second_answers_and_foreign_answers_are_ignored(app, raw):
    container, foreign = raw(app), raw(app)
    container.register()
    asking = Asking(app, input=[1.0])
    message, _ = container.request()
    foreign.send(response(message, b"foreign"))
    container.send(response(message + 5, b"wrong"))
    container.send(response(message, b"right"))
    container.send(response(message, b"again"))
    assert asking.reply()["output"] == "right"
    asking = Asking(app, input=[2.0])
    message, _ = container.request()
    container.send(response(message, b"next"))
    assert asking.reply()["output"] == "next"


@pytest.mark.parametrize("outputs", [(), (b"1",), (b"1", b"2", b"3")])
def test_a_wrong_count_goes_to_another_replica(app, raw, outputs):
    broken, good = raw(app), raw(app)
    broken.register()
    app.until(app.containers)
    asking = Asking(app, input_batch=[[1.0], [2.0]])
    message, _ = broken.request()
    good.register()
    broken.send(response(message, *outputs))
    message, inputs = good.request()
    assert len(inputs) == 2
    good.send(response(message, b"a", b"b"))
    assert [each["output"] for each in asking.reply()["batch_predictions"]] == ["a", "b"]
    app.until(lambda: app.containers() == ["m:1:1"])


def test_a_batch_of_a_dead_replica_goes_to_another_one(app, raw):
    dying, good = raw(app), raw(app)
    dying.register()
    app.until(app.containers)
    asking = Asking(app, input=[1.0])
    dying.request()
    good.register()
    dying.socket.close()
    start = time.monotonic()
    message, _ = good.request()
    assert time.monotonic() - start < 2  # it is the broken connection that tells, not the silence
    good.send(response(message, b"1"))
    assert asking.reply()["default"] is False


def test_without_a_replica_left_queries_default_at_once(app, raw):
    dying = raw(app)
    dying.register()
    app.until(app.containers)
    asking = Asking(app, input=[1.0])
    dying.request()
    start = time.monotonic()
    dying.socket.close()
    assert asking.reply()["default_explanation"] == "No connected models found for query"
    assert time.monotonic() - start < 2


def test_a_silent_replica_is_dropped_and_its_batch_given_to_another(serve, raw):
    server = serve(silence_s=1.0)
    server.application()
    server.model()
    server.link()
    hanging, good = raw(server), raw(server)
    hanging.register()
    server.until(server.containers)
    asking = Asking(server, input=[1.0])
    hanging.request()
    frames = [b""]
    while len(frames) < 6:  # the other one is alive, until it is sent the batch
        good.send(HEARTBEAT)
        frames = good.receive()
        if frames == [b"", U32(3), U32(2), U32(1)]:
            good.send(new_container())
        time.sleep(0.1)
    good.send(response(struct.unpack("<I", frames[3])[0], b"1"))
    assert asking.reply()["default"] is False
    assert server.containers() == ["m:1:1"]


def test_a_claimed_identity_does_not_get_the_batches_of_its_owner(app, raw):
    owner = raw(app, identity=b"owner")
    owner.register()
    thief = raw(app, identity=b"owner")
    thief.send(HEARTBEAT)
    asking = Asking(app, input=[1.0])
    message, _ = owner.request()
    thief.send(response(message, b"stolen"))
    assert thief.silent(0.2)
    owner.send(response(message, b"1"))
    assert asking.reply()["output"] == 1


def test_a_flood_of_heartbeats_leaves_the_core_answering(app, raw):
    flooding, good = raw(app), raw(app)
    good.register()
    flooding.register()
    app.until(lambda: len(app.containers()) == 2)
    for _ in range(20_000):
        flooding.send(HEARTBEAT)
    answered = 0
    replies = [Asking(app, input=[float(i)]) for i in range(2)]
    while answered < 2:
        for container in (good, flooding):
            if container.socket.poll(0):  # the replies to all heartbeats come before a batch
                frames = container.socket.recv_multipart()
                if frames[2] == U32(1):
                    outputs = [b"1"] * len(frames[7:])
                    container.send(response(struct.unpack("<I", frames[3])[0], *outputs))
                    answered += len(outputs)
    assert [each.reply()["default"] for each in replies] == [False, False]


def test_a_send_that_fails_leaves_nothing_unread(app, raw):
    container = raw(app)
    container.register()
    router = app.server._registrations.router
    held, sent = threading.Event(), threading.Event()
    results = []

    def hold_and_fail():
        held.set()
        sent.wait(5)
        time.sleep(0.1)  # the message arrives meanwhile, in a thread of ZeroMQ's
        results.append(router.send(b"nobody", 0, DataType.DOUBLES, [b"x"]))

    app.loop.call_soon_threadsafe(hold_and_fail)
    held.wait(5)
    container.send(HEARTBEAT)
    sent.set()
    assert container.receive() == [b"", U32(3), U32(2), U32(0)]
    assert results == [False]


def test_a_container_whose_name_no_model_can_have_is_not_recorded(app, raw):
    for name in (b"a:b", b"a,b"):
        container = raw(app)
        container.register(name=name)
    assert app.containers() == []


def test_a_container_that_was_refused_for_its_type_serves_once_the_type_fits(app, raw):
    container = raw(app)
    container.register(kind=b"4")
    app.until(app.containers)
    app.ask("delete_model_links", app_name="app", model_names=["m"])
    app.ask("delete_versioned_model", model_name="m", model_version="1")
    app.model(input_type="strings")
    app.application("texts", input_type="strings", slo_micros=3_000_000)
    app.link("texts")
    wire = app.wire()
    wire.post("/texts/predict", b'{"input": "a"}')
    message, inputs = container.request()
    container.send(response(message, *inputs))
    assert b'"output":"a"' in wire.reply()[2]


def test_a_container_of_another_input_type_gets_nothing(app, raw):
    wrong = raw(app)
    wrong.register(kind=b"4")
    app.until(app.containers)
    assert app.predict("app", input=[1.0]).json()["default"] is True
    assert wrong.silent(0.1)


def test_deleting_a_version_makes_its_containers_register_anew(app, raw):
    container = raw(app)
    container.register()
    app.until(app.containers)
    app.ask("delete_versioned_model", model_name="m", model_version="1")
    app.until(lambda: app.containers() == [])
    container.send(HEARTBEAT)
    assert container.receive() == [b"", U32(3), U32(2), U32(1)]


def test_a_full_queue_is_429_with_retry_after(serve, raw):
    server = serve(limits=Limits(queued=3))
    server.application()
    server.model(batch_size=1)
    server.link()
    container = raw(server)
    container.register()
    server.until(server.containers)
    first = Asking(server, input=[0.0])
    message, _ = container.request()
    waiting = Asking(server, input_batch=[[1.0], [2.0], [3.0]])
    server.until(lambda: _queue(server) == 3)
    refused = server.predict("app", input=[4.0])
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    for i in range(4):
        container.send(response(message, b"%d" % i))
        if i < 3:
            message, _ = container.request()
    assert first.reply()["output"] == 0
    assert [each["output"] for each in waiting.reply()["batch_predictions"]] == [1, 2, 3]


def _queue(server):
    text = server.query.get("/metrics", headers={"accept": "text/plain"}).text
    line = next(each for each in text.splitlines() if each.startswith("inferline_stage_queue_length{"))
    return float(line.rsplit(" ", 1)[1])
