"""The wire format, byte for byte."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving_adapter.rpc.wire import (
    ContentType,
    DataType,
    Heartbeat,
    HeartbeatReply,
    HeartbeatType,
    MessageType,
    NewContainer,
    PredictRequest,
    PredictResponse,
    WireError,
    decode_from_container,
    decode_from_server,
    encode_heartbeat,
    encode_heartbeat_reply,
    encode_new_container,
    encode_request,
    encode_response,
)

FIXED = settings(deadline=None, derandomize=True)
MESSAGE_IDS = st.integers(0, 2**32 - 1)
CONTENTS = st.lists(st.binary(max_size=20), max_size=5)


def of_hex(*frames):
    return [bytes.fromhex(frame) for frame in frames]


def test_numbers_of_the_protocol():
    assert [*MessageType] == [0, 1, 2]
    assert [*HeartbeatType] == [0, 1]
    assert [*ContentType] == [0, 1]
    assert [(kind.readable, int(kind)) for kind in DataType] == [
        ("bytes", 0),
        ("integers", 1),
        ("floats", 2),
        ("doubles", 3),
        ("strings", 4),
    ]


def test_heartbeats():
    assert encode_heartbeat() == of_hex("02000000")
    assert encode_heartbeat_reply(HeartbeatType.KEEP_ALIVE) == of_hex("03000000", "02000000", "00000000")
    assert encode_heartbeat_reply(HeartbeatType.REQUEST_METADATA) == of_hex("03000000", "02000000", "01000000")


def test_registration():
    frames = [b"\0\0\0\0", "modèle".encode(), b"1", b"3", b"\3\0\0\0"]
    assert encode_new_container("modèle", "1", DataType.DOUBLES) == frames
    assert decode_from_container(frames) == NewContainer("modèle", "1", DataType.DOUBLES, 3)
    assert decode_from_container(frames[:4]) == NewContainer("modèle", "1", DataType.DOUBLES, None)


def test_request_with_two_vectors_of_three_doubles():
    vectors = [pack("<3d", 1, 2, 3), pack("<3d", 4, 5, 6)]
    frames = [
        *of_hex("03000000", "01000000", "07000000", "00000000", "2000000000000000"),
        bytes.fromhex("0300000000000000" + "0200000000000000" + "1800000000000000" + "1800000000000000"),
        *vectors,
    ]
    assert encode_request(7, DataType.DOUBLES, vectors) == frames
    assert decode_from_server(frames) == PredictRequest(7, DataType.DOUBLES, vectors)


def test_response_with_two_outputs():
    frames = [
        *of_hex("01000000", "ffffffff", "1800000000000000"),
        bytes.fromhex("0200000000000000" + "0300000000000000" + "0000000000000000"),
        b"1.0",
        b"",
    ]
    assert encode_response(2**32 - 1, [b"1.0", b""]) == frames
    assert decode_from_container(frames) == PredictResponse(2**32 - 1, [b"1.0", b""])


@FIXED
@given(MESSAGE_IDS, st.sampled_from(DataType), CONTENTS)
def test_requests_come_back(message_id, data_type, inputs):
    frames = encode_request(message_id, data_type, inputs)
    assert decode_from_server(frames) == PredictRequest(message_id, data_type, inputs)


@FIXED
@given(MESSAGE_IDS, CONTENTS)
def test_responses_come_back(message_id, outputs):
    assert decode_from_container(encode_response(message_id, outputs)) == PredictResponse(message_id, outputs)


@FIXED
@given(st.text(), st.text(), st.sampled_from(DataType))
def test_registrations_come_back(name, version, data_type):
    frames = encode_new_container(name, version, data_type)
    assert decode_from_container(frames) == NewContainer(name, version, data_type, 3)


def test_heartbeats_come_back():
    assert decode_from_container(encode_heartbeat()) == Heartbeat()
    for kind in HeartbeatType:
        assert decode_from_server(encode_heartbeat_reply(kind)) == HeartbeatReply(kind)


GOOD = [
    encode_heartbeat(),
    encode_heartbeat_reply(HeartbeatType.KEEP_ALIVE),
    encode_new_container("m", "1", DataType.BYTES),
    encode_request(1, DataType.FLOATS, [b"1234", b""]),
    encode_response(1, [b"1234", b""]),
]
NUMBERS = st.integers(0, 5).map(lambda n: pack("<I", n)) | st.integers(0, 40).map(lambda n: pack("<Q", n))
FRAMES = NUMBERS | st.binary(max_size=40) | st.sampled_from([b"0", b"4", b"5", b""])


@st.composite
def nearly_right(draw):
    """Messages with some frame cut, changed, left out or put in."""
    frames = list(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(frames)))
        count = draw(st.integers(0, 1))
        frames[place : place + count] = draw(st.lists(FRAMES, max_size=1))
    return frames


@FIXED
@given(st.lists(FRAMES, max_size=9) | nearly_right())
def test_any_frames_are_a_message_or_refused_as_none(frames):
    try:
        message = decode_from_container(frames)
    except WireError:
        pass
    else:
        match message:
            case Heartbeat():
                assert frames == encode_heartbeat()
            case NewContainer(name, version, data_type, _):
                assert frames[:4] == encode_new_container(name, version, data_type)[:4]
            case PredictResponse(message_id, outputs):
                assert frames == encode_response(message_id, outputs)
    try:
        message = decode_from_server(frames)
    except WireError:
        pass
    else:
        match message:
            case HeartbeatReply(kind):
                assert frames == encode_heartbeat_reply(kind)
            case PredictRequest(message_id, data_type, inputs):
                assert frames == encode_request(message_id, data_type, inputs)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "frame 0 is no message type of 4 bytes"),
        ([b"\2"], "frame 0 is no message type of 4 bytes"),
        (of_hex("09000000"), "no message type 9"),
        (of_hex("02000000", ""), "a heartbeat has 1 frames, not 2"),
        ([*of_hex("00000000"), b"m", b"1"], "a new container has 5 frames, not 3"),
        ([*of_hex("00000000"), b"m", b"1", b"5", b"\3\0\0\0"], "no data type b'5'"),
        ([*of_hex("00000000"), b"m", b"1", b"33"], "no data type b'33'"),
        ([*of_hex("00000000"), b"\xff", b"1", b"3", b"\3\0\0\0"], "the model name is not UTF-8"),
        ([*of_hex("00000000"), b"m", b"1", b"3", b"3"], "frame 4 is no RPC version of 4 bytes"),
        (of_hex("01000000", "00000000"), "a response has at least 4 frames, not 2"),
        (encode_response(1, [b"a", b"b"])[:-1], "the response's header does not match its frames"),
        ([*encode_response(1, [b"a"])[:-1], b"ab"], "the response's header does not match its frames"),
        ([*encode_response(1, [])[:2], b"8", b""], "the response's header is not as long as it says"),
    ],
)
def test_what_is_wrong_with_a_container(frames, message):
    with pytest.raises(WireError) as caught:
        decode_from_container(frames)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "frame 0 is no RPC version of 4 bytes"),
        (of_hex("02000000", "02000000", "00000000"), "RPC version 2; this side speaks 3"),
        (of_hex("03000000", "00000000"), "no message type 0 from a server"),
        (of_hex("03000000", "02000000", "07000000"), "no HeartbeatType 7"),
        (of_hex("03000000", "02000000"), "a heartbeat reply has 3 frames, not 2"),
        (of_hex("03000000", "01000000", "00000000", "01000000"), "feedback requests are not supported"),
        (of_hex("03000000", "01000000", "00000000", "00000000"), "a request has at least 6 frames, not 4"),
        ([*encode_request(1, DataType.BYTES, [])[:5], b"123"], "a request's header is cut short"),
        ([*encode_request(1, DataType.BYTES, [])[:5], b"\x09" + bytes(15)], "no DataType 9"),
        (encode_request(1, DataType.BYTES, [b"a"])[:-1], "the request's header does not match its frames"),
    ],
)
def test_what_is_wrong_with_a_server(frames, message):
    with pytest.raises(WireError) as caught:
        decode_from_server(frames)
    assert str(caught.value) == message
