"""The container side and the one-replica server side of the RPC, over real sockets on this machine."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from struct import pack
from time import monotonic

import numpy as np
import pytest
import zmq

from inferline.errors import OutsideError
from serving_adapter.rpc.container import Container, OutputError
from serving_adapter.rpc.single import SingleReplica
from serving_adapter.rpc.values import wire_input
from serving_adapter.rpc.wire import (
    DataType,
    HeartbeatType,
    WireError,
    encode_heartbeat,
    encode_heartbeat_reply,
    encode_new_container,
    encode_request,
    encode_response,
)

LONG_S = 20.0
"""No test waits for as long unless it fails."""


class Function:
    """A function of one input as a model, which notes what it is given."""

    def __init__(self, function):
        self.function = function
        self.given = []

    def predict(self, inputs):
        self.given.append(inputs)
        return [self.function(each) for each in inputs]


class Outputs:
    """A model that returns the same whatever it is given."""

    def __init__(self, outputs):
        self.outputs = outputs

    def predict(self, inputs):  # noqa: ARG002 - whatever they are
        return self.outputs


@contextmanager
def serving(model, port, **options):
    """Serve a model in a thread; gives the container and a list that holds its error once it has failed."""
    options = {"name": "m", "version": "1", "input_type": "json", "poll_s": 0.01} | options
    container = Container(model=model, address=f"tcp://127.0.0.1:{port}", **options)
    failed = []

    def serve():
        try:
            container.serve()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield container, failed
    finally:
        container.stop.set()
        thread.join(LONG_S)
        assert not thread.is_alive()


@contextmanager
def listening(port=0):
    server = SingleReplica(port=port)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def server():
    with listening() as listener:
        yield listener


@contextmanager
def peer(port):
    """A socket of its own that is connected to the server, for what no container would send."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(f"tcp://127.0.0.1:{port}")
        yield socket


def test_registration_and_a_batch(server):
    observed = []
    with serving(Function(lambda each: each + 1), server.port, observe=lambda *what: observed.append(what)):
        registered = server.await_registration(LONG_S)
        outputs, seconds = server.predict(DataType.STRINGS, [b"1", b"2"], LONG_S)
        more, _ = server.predict(DataType.STRINGS, [b"3"], LONG_S)
    assert (registered.name, registered.version, registered.data_type) == ("m", "1", DataType.STRINGS)
    assert (outputs, more) == ([b"2", b"3"], [b"4"])
    assert [size for size, _ in observed] == [2, 1]
    assert 0 < observed[0][1] < seconds


@pytest.mark.parametrize(
    ("input_type", "values", "given", "outputs"),
    [
        ("bytes", ["AP8="], [b"\x00\xff"], [b"bytes"]),
        ("integers", [[1, 2], [3]], [[1, 2], [3]], [b"int32"] * 2),
        ("floats", [[0.5], []], [[0.5], []], [b"float32"] * 2),
        ("doubles", [[0.1, 1.0]], [[0.1, 1.0]], [b"float64"]),
        ("strings", ["grüezi", ""], ["grüezi", ""], [b"str"] * 2),
        ("json", [{"a": [1]}, None], [{"a": [1]}, None], [b"dict", b"NoneType"]),
    ],
)
def test_types_of_inputs(server, input_type, values, given, outputs):
    model = Function(lambda each: str(getattr(each, "dtype", type(each).__name__)))
    with serving(model, server.port, input_type=input_type):
        data_type = server.await_registration(LONG_S).data_type
        frames = [wire_input(value, input_type) for value in values]
        assert server.predict(data_type, frames, LONG_S)[0] == outputs
    assert data_type.readable == ("strings" if input_type == "json" else input_type)
    assert [each.tolist() if isinstance(each, np.ndarray) else each for each in model.given[0]] == given


@pytest.mark.parametrize(
    ("outputs", "frames"),
    [
        (np.array([[1, 2], [3, 4]]), [b"[1,2]", b"[3,4]"]),
        (("a", {"b": None}), [b"a", b'{"b":null}']),
        ([np.float32(0.5), True], [b"0.5", b"true"]),
    ],
)
def test_outputs(server, outputs, frames):
    with serving(Outputs(outputs), server.port):
        server.await_registration(LONG_S)
        assert server.predict(DataType.STRINGS, [b"1", b"2"], LONG_S)[0] == frames


def ended(failed):
    """Return what ends the waiting of the server when the container has failed."""

    def check():
        if failed:
            raise InterruptedError

    return check


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([1], "returned 1 outputs for 2 inputs; it must return a list with one output per input"),
        (np.zeros((3, 2)), "returned 3 outputs for 2 inputs; it must return a list with one output per input"),
        ("ab", "returned a str for 2 inputs; it must return a list with one output per input"),
        ({"a": 1, "b": 2}, "returned a dict for 2 inputs; it must return a list with one output per input"),
        (np.array(1), "returned a ndarray for 2 inputs; it must return a list with one output per input"),
        (None, "returned a NoneType for 2 inputs; it must return a list with one output per input"),
        ([1, object()], "output 1 of 2: a value of type object is no JSON value"),
    ],
)
def test_outputs_that_are_not_one_per_input(server, outputs, message):
    with serving(Outputs(outputs), server.port) as (_, failed):
        server.await_registration(LONG_S)
        with pytest.raises(InterruptedError):
            server.predict(DataType.STRINGS, [b"1", b"2"], LONG_S, ended(failed))
    assert [(type(error), str(error)) for error in failed] == [(OutputError, message)]


@pytest.mark.parametrize(
    ("data_type", "frame", "error", "message"),
    [
        (DataType.DOUBLES, pack("<d", 1), WireError, "inputs of type doubles; this model takes strings"),
        (DataType.STRINGS, b"{", TypeError, "unsupported operand type(s) for /: 'int' and 'str'"),
        (DataType.STRINGS, b"0", ZeroDivisionError, "division by zero"),
    ],
)
def test_what_ends_a_container(server, data_type, frame, error, message):
    with serving(Function(lambda each: 1 / each), server.port) as (_, failed):
        server.await_registration(LONG_S)
        with pytest.raises(InterruptedError):
            server.predict(data_type, [frame], LONG_S, ended(failed))
    assert isinstance(failed[0], error)
    assert str(failed[0]) == message


def test_stops_within_a_poll(server):
    with serving(Function(str), server.port, poll_s=0.2) as (container, failed):
        server.await_registration(LONG_S)
        container.stop.set()
        start = monotonic()
    assert monotonic() - start < 5  # a heartbeat, or the silence, would take longer
    assert failed == []


def test_last_answer_arrives_though_stop_was_set(server):
    large = "x" * 30_000_000
    with serving(Function(lambda _: container.stop.set() or large), server.port) as (container, failed):
        server.await_registration(LONG_S)
        assert server.predict(DataType.STRINGS, [b"1"], LONG_S)[0] == [large.encode()]
    assert failed == []


def test_heartbeats_keep_a_session_alive(server):
    with serving(Function(str), server.port, heartbeat_s=0.05, silence_s=0.6) as (_, failed):
        server.await_registration(LONG_S)
        with pytest.raises(TimeoutError, match=r"^no registration in 1.2 s$"):
            server.await_registration(1.2)  # no session ended meanwhile
        assert server.predict(DataType.STRINGS, [b"1"], LONG_S)[0] == [b"1"]
    assert failed == []


def test_new_session_when_the_server_was_silent(server):
    with serving(Function(str), server.port, silence_s=0.5):
        server.await_registration(LONG_S)
        server.await_registration(LONG_S)
        assert server.predict(DataType.STRINGS, [b"1"], LONG_S)[0] == [b"1"]


def test_new_session_when_the_server_comes_back():
    with listening() as first:
        port = first.port
        with serving(Function(str), port, heartbeat_s=60, silence_s=0.5):
            first.await_registration(LONG_S)
            first.close()
            with listening(port) as second:
                assert second.await_registration(LONG_S).name == "m"
                assert second.predict(DataType.STRINGS, [b"1"], LONG_S)[0] == [b"1"]


def test_restarted_server_asks_who_sends_a_heartbeat():
    with listening() as first:
        port = first.port
        with serving(Function(str), port, heartbeat_s=0.02, silence_s=60) as (container, _):
            first.await_registration(LONG_S)
            first.close()
            with listening(port) as second:
                assert second.await_registration(LONG_S).name == "m"
                container.stop.set()


def test_container_may_come_before_its_server():
    with listening() as unused:
        port = unused.port
    with serving(Function(str), port), listening(port) as server:
        assert server.await_registration(LONG_S).name == "m"


def test_long_prediction_does_not_end_the_session(server):
    never = threading.Event()
    with serving(Function(never.wait), server.port, silence_s=0.5, heartbeat_s=0.02):
        server.await_registration(LONG_S)
        assert server.predict(DataType.STRINGS, [b"0.7"], LONG_S)[0] == [b"false"]
        with pytest.raises(TimeoutError):
            server.await_registration(0.2)  # a new session would begin at once
        assert server.predict(DataType.STRINGS, [b"0"], LONG_S)[0] == [b"false"]


def test_server_that_speaks_another_version():
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.setsockopt(zmq.LINGER, 0)
        port = router.bind_to_random_port("tcp://127.0.0.1")
        with serving(Function(str), port) as (_, failed):
            assert router.poll(LONG_S * 1000)
            identity, *frames = router.recv_multipart()
            assert frames == [b"", *encode_heartbeat()]
            router.send_multipart([identity, b"", pack("<I", 2), pack("<I", 2), pack("<I", 0)])
            deadline = monotonic() + LONG_S
            while not failed and monotonic() < deadline:
                router.poll(10)
    assert str(failed[0]) == "RPC version 2; this side speaks 3"


def test_messages_of_a_container_are_those_of_the_protocol():
    """The whole first exchange as Clipper's server sees it."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.setsockopt(zmq.LINGER, 0)
        port = router.bind_to_random_port("tcp://127.0.0.1")
        log = []

        def receive():
            assert router.poll(LONG_S * 1000)
            identity, *frames = router.recv_multipart()
            log.append(frames)
            return identity

        with serving(Function(sum), port, input_type="doubles"):
            identity = receive()
            router.send_multipart([identity, b"", *encode_heartbeat_reply(HeartbeatType.REQUEST_METADATA)])
            assert receive() == identity
            vectors = [pack("<2d", 1, 2), pack("<2d", 3, 4)]
            router.send_multipart([identity, b"", *encode_request(5, DataType.DOUBLES, vectors)])
            assert receive() == identity
    assert log == [
        [b"", *encode_heartbeat()],
        [b"", *encode_new_container("m", "1", DataType.DOUBLES)],
        [b"", *encode_response(5, [b"3.0", b"7.0"])],
    ]


def test_server_refuses_what_is_no_registration(server):
    for frames, message in [
        ([b"", b"x"], "frame 0 is no message type of 4 bytes"),
        ([b"x"], "no empty frame before the message"),
    ]:
        with peer(server.port) as socket:
            socket.send_multipart(frames)
            with pytest.raises(WireError) as caught:
                server.await_registration(LONG_S)
            assert str(caught.value) == message


def test_server_overlooks_strangers(server):
    with serving(Function(str), server.port):
        server.await_registration(LONG_S)
        with peer(server.port) as stranger:
            stranger.send_multipart([b"", *encode_heartbeat()])
            assert server.predict(DataType.STRINGS, [b"1"], LONG_S)[0] == [b"1"]
            stranger.send_multipart([b"nonsense"])
            stranger.send_multipart([b"", *encode_response(3, [b"forged"])])
            with pytest.raises(TimeoutError):
                server.await_registration(0.1)  # time for them to arrive
            assert server.predict(DataType.STRINGS, [b"2"], LONG_S)[0] == [b"2"]


def test_server_refuses_an_answer_of_another_length(server):
    with peer(server.port) as socket:
        socket.send_multipart([b"", *encode_new_container("m", "1", DataType.BYTES)])
        server.await_registration(LONG_S)
        socket.send_multipart([b"", *encode_response(9, [b"late"])])
        socket.send_multipart([b"", *encode_response(1, [b"a"])])
        with pytest.raises(WireError, match="answered 1 outputs for 2 inputs"):
            server.predict(DataType.BYTES, [b"a", b"b"], LONG_S)


def test_server_says_when_a_batch_is_lost(server):
    with peer(server.port) as socket:
        registration = [b"", *encode_new_container("m", "1", DataType.BYTES)]
        socket.send_multipart(registration)
        server.await_registration(LONG_S)
        socket.send_multipart(registration)
        with pytest.raises(WireError, match="a container registered while a batch was out"):
            server.predict(DataType.BYTES, [b"a"], LONG_S)


def test_server_does_not_wait_for_ever(server):
    with pytest.raises(TimeoutError, match=r"^no registration in 0.02 s$"):
        server.await_registration(0.02)
    with peer(server.port) as socket:
        socket.send_multipart([b"", *encode_new_container("m", "1", DataType.BYTES)])
        server.await_registration(LONG_S)
        with pytest.raises(TimeoutError, match=r"^no answer in 0.02 s$"):
            server.predict(DataType.BYTES, [b"a"], 0.02)


def test_port_that_is_taken(server):
    with pytest.raises(OutsideError, match=f"cannot listen on 127.0.0.1:{server.port}: Address already in use"):
        SingleReplica(port=server.port)
