"""The wire format of Clipper's container RPC, version 3: messages to frames and back, nothing else.

Every message is one ZeroMQ multipart message; the frames here are those after the empty delimiter. All integers are
little-endian. Container and server sides differ: only what the server sends begins with a version frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import TypeVar

import numpy as np

__all__ = [
    "RPC_VERSION",
    "ContentType",
    "DataType",
    "Heartbeat",
    "HeartbeatReply",
    "HeartbeatType",
    "MessageType",
    "NewContainer",
    "PredictRequest",
    "PredictResponse",
    "WireError",
    "decode_from_container",
    "decode_from_server",
    "encode_heartbeat",
    "encode_heartbeat_reply",
    "encode_new_container",
    "encode_request",
    "encode_response",
]

RPC_VERSION = 3

_Kind = TypeVar("_Kind", bound=IntEnum)
_U32 = Struct("<I")
_U64 = Struct("<Q")
_VERSION = _U32.pack(RPC_VERSION)


class WireError(ValueError):
    """A message is not of this protocol; says what is wrong with it."""


class MessageType(IntEnum):
    """First frame of a message from a container; second one of a message from the server."""

    NEW_CONTAINER = 0
    CONTENT = 1
    HEARTBEAT = 2


class HeartbeatType(IntEnum):
    """What the server says to a heartbeat: go on, or register (again)."""

    KEEP_ALIVE = 0
    REQUEST_METADATA = 1


class ContentType(IntEnum):
    """Kind of a request; this server sends predictions only."""

    PREDICT = 0
    FEEDBACK = 1


class DataType(IntEnum):
    """Type of every input of a request."""

    BYTES = 0
    INTEGERS = 1
    FLOATS = 2
    DOUBLES = 3
    STRINGS = 4

    @property
    def readable(self) -> str:
        """The name that the REST interface and Redis use."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A container is alive."""


@dataclass(frozen=True, slots=True)
class NewContainer:
    """A container registers; ``rpc_version`` is None when it does not say."""

    name: str
    version: str
    data_type: DataType
    rpc_version: int | None


@dataclass(frozen=True, slots=True)
class PredictResponse:
    """The outputs of one batch, UTF-8, one per input."""

    message_id: int
    outputs: list[bytes]


@dataclass(frozen=True, slots=True)
class HeartbeatReply:
    """The server answers a heartbeat."""

    kind: HeartbeatType


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """One batch of inputs, each the raw content of one frame."""

    message_id: int
    data_type: DataType
    inputs: list[bytes]


def encode_heartbeat() -> list[bytes]:
    """Return what a container sends to say that it is alive."""
    return [_U32.pack(MessageType.HEARTBEAT)]


def encode_new_container(name: str, version: str, data_type: DataType) -> list[bytes]:
    """Return what a container sends to register."""
    return [
        _U32.pack(MessageType.NEW_CONTAINER),
        name.encode(),
        version.encode(),
        str(int(data_type)).encode(),
        _U32.pack(RPC_VERSION),
    ]


def encode_response(message_id: int, outputs: Sequence[bytes]) -> list[bytes]:
    """Return what a container sends to answer a request."""
    lengths = [len(output) for output in outputs]
    header = np.array([len(lengths), *lengths], dtype="<u8").tobytes()
    return [_U32.pack(MessageType.CONTENT), _U32.pack(message_id), _U64.pack(len(header)), header, *outputs]


def encode_heartbeat_reply(kind: HeartbeatType) -> list[bytes]:
    """Return what the server sends to answer a heartbeat."""
    return [_VERSION, _U32.pack(MessageType.HEARTBEAT), _U32.pack(kind)]


def encode_request(message_id: int, data_type: DataType, inputs: Sequence[bytes]) -> list[bytes]:
    """Return what the server sends to have a batch predicted."""
    lengths = [len(each) for each in inputs]
    header = np.array([int(data_type), len(lengths), *lengths], dtype="<u8").tobytes()
    return [
        _VERSION,
        _U32.pack(MessageType.CONTENT),
        _U32.pack(message_id),
        _U32.pack(ContentType.PREDICT),
        _U64.pack(len(header)),
        header,
        *inputs,
    ]


def decode_from_container(frames: Sequence[bytes]) -> Heartbeat | NewContainer | PredictResponse:
    """Read what a container sent.

    Raises
    ------
    WireError
        When it is no message of this protocol: unknown type, wrong number or length of frames, a count that is
        not that of the frames.
    """
    kind = _u32(frames, 0, "message type")
    if kind == MessageType.HEARTBEAT:
        _expect(frames, 1, "a heartbeat")
        return Heartbeat()
    if kind == MessageType.NEW_CONTAINER:
        if len(frames) not in {4, 5}:
            raise WireError(f"a new container has 5 frames, not {len(frames)}")
        version = _u32(frames, 4, "RPC version") if len(frames) == 5 else None
        return NewContainer(
            _text(frames[1], "model name"), _text(frames[2], "model version"), _data_type(frames[3]), version
        )
    if kind == MessageType.CONTENT:
        if len(frames) < 4:
            raise WireError(f"a response has at least 4 frames, not {len(frames)}")
        outputs = list(frames[4:])
        _check_header(frames[2], frames[3], [len(outputs), *map(len, outputs)], "response")
        return PredictResponse(_u32(frames, 1, "message id"), outputs)
    raise WireError(f"no message type {kind}")


def decode_from_server(frames: Sequence[bytes]) -> HeartbeatReply | PredictRequest:
    """Read what the server sent.

    Raises
    ------
    WireError
        When it is no message of this protocol, of another version, or a feedback request.
    """
    version = _u32(frames, 0, "RPC version")
    if version != RPC_VERSION:
        raise WireError(f"RPC version {version}; this side speaks {RPC_VERSION}")
    kind = _u32(frames, 1, "message type")
    if kind == MessageType.HEARTBEAT:
        _expect(frames, 3, "a heartbeat reply")
        return HeartbeatReply(_member(HeartbeatType, _u32(frames, 2, "heartbeat type")))
    if kind != MessageType.CONTENT:
        raise WireError(f"no message type {kind} from a server")
    if _u32(frames, 3, "request type") != ContentType.PREDICT:
        raise WireError("feedback requests are not supported")
    if len(frames) < 6:
        raise WireError(f"a request has at least 6 frames, not {len(frames)}")
    inputs = list(frames[6:])
    if len(frames[5]) < 8:
        raise WireError("a request's header is cut short")
    data_type = _member(DataType, int.from_bytes(frames[5][:8], "little"))
    _check_header(frames[4], frames[5], [int(data_type), len(inputs), *map(len, inputs)], "request")
    return PredictRequest(_u32(frames, 2, "message id"), data_type, inputs)


def _member(kinds: type[_Kind], value: int) -> _Kind:
    try:
        return kinds(value)
    except ValueError as error:
        raise WireError(f"no {kinds.__name__} {value}") from error


def _expect(frames: Sequence[bytes], count: int, what: str) -> None:
    if len(frames) != count:
        raise WireError(f"{what} has {count} frames, not {len(frames)}")


def _u32(frames: Sequence[bytes], place: int, what: str) -> int:
    if place >= len(frames) or len(frames[place]) != 4:
        raise WireError(f"frame {place} is no {what} of 4 bytes")
    value: int = _U32.unpack(frames[place])[0]
    return value


def _text(frame: bytes, what: str) -> str:
    try:
        return frame.decode()
    except UnicodeDecodeError as error:
        raise WireError(f"the {what} is not UTF-8") from error


def _data_type(frame: bytes) -> DataType:
    if len(frame) != 1 or not b"0" <= frame <= b"4":
        raise WireError(f"no data type {frame[:20]!r}")
    return DataType(int(frame))


def _check_header(length: bytes, header: bytes, expected: list[int], what: str) -> None:
    if len(length) != 8 or _U64.unpack(length)[0] != len(header):
        raise WireError(f"the {what}'s header is not as long as it says")
    if header != np.array(expected, dtype="<u8").tobytes():
        raise WireError(f"the {what}'s header does not match its frames")
