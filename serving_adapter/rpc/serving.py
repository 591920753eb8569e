"""The container side of the RPC: serves one model to a serving core.

One batch at a time, one thread, as Clipper's own container does; a fresh socket and registration for each session.
`serving_adapter.rpc.runtime` is a process that does this for one model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event
from time import monotonic, perf_counter

import numpy as np
import zmq

from serving_adapter.models.loading import Model
from serving_adapter.rpc.values import data_type_of, model_inputs, output_bytes
from serving_adapter.rpc.wire import (
    HeartbeatReply,
    HeartbeatType,
    PredictRequest,
    WireError,
    decode_from_server,
    encode_heartbeat,
    encode_new_container,
    encode_response,
)

__all__ = ["BatchTimes", "Container", "OutputError"]

HEARTBEAT_S = 5.0
"""Silence after which a container sends a heartbeat (Clipper's RPC, version 3)."""

SILENCE_S = 30.0
"""Silence after which it gives the session up and begins a new one."""

_log = logging.getLogger(__name__)

_LAST_ANSWER_MS = 1000
"""How long the end of a session waits for what is still to be sent: the answer to the last batch."""

_WANTED = "it must return a list with one output per input"


class OutputError(ValueError):
    """A model did not return one output per input, or one that is no text and no JSON value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTimes:
    """Where the time of one batch went.

    Parameters
    ----------
    size
        Its inputs.
    receive_s
        Seconds to take it from the socket.
    parse_s
        Seconds to read its inputs.
    handle_s
        Seconds of the model, and of writing its outputs.
    """

    size: int
    receive_s: float
    parse_s: float
    handle_s: float


@dataclass(slots=True, kw_only=True)
class Container:
    """One model behind the RPC.

    Parameters
    ----------
    model
        The model, loaded.
    name, version
        What it registers as.
    input_type
        Type of its inputs; ``json`` registers as ``strings``.
    address
        Where the serving core listens: ``tcp://127.0.0.1:7000``.
    observe
        Called after each answered batch with its size and the seconds that the model took.
    observe_times
        Called after each answered batch with where its time went.
    stop
        Set it to end `serve` within a poll, or when the batch in hand is answered.
    poll_s
        How often `stop` is looked at.
    heartbeat_s, silence_s
        When a silent server is sent a heartbeat, and when it is given up for a new session.
    """

    model: Model
    name: str
    version: str
    input_type: str
    address: str
    observe: Callable[[int, float], None] = lambda size, seconds: None  # noqa: ARG005
    observe_times: Callable[[BatchTimes], None] = lambda batch: None  # noqa: ARG005
    stop: Event = field(default_factory=Event)
    poll_s: float = 0.5
    heartbeat_s: float = HEARTBEAT_S
    silence_s: float = SILENCE_S

    def serve(self) -> None:
        """Serve until `stop` is set.

        Raises
        ------
        OutputError
            When the model returns something else than one output per input.
        WireError
            When the server speaks something else, or sends inputs of another type than the model takes.
        Exception
            Whatever the model raises.
        """
        with zmq.Context() as context:
            while not self.stop.is_set():
                with context.socket(zmq.DEALER) as socket:
                    socket.setsockopt(zmq.LINGER, _LAST_ANSWER_MS)
                    socket.connect(self.address)
                    self._session(socket)

    def _session(self, socket: zmq.Socket[bytes]) -> None:
        """Serve until the server has been silent for too long; a server that never answers counts as well."""
        socket.send_multipart([b"", *encode_heartbeat()])
        heard = sent = monotonic()
        connected = False
        while not self.stop.is_set():
            if socket.poll(int(self.poll_s * 1000)):
                self._take(socket)
                # Not before the model is done: what the server said meanwhile is still to be read.
                heard, connected = monotonic(), True
                continue
            now = monotonic()
            if now - heard >= self.silence_s:
                _log.info("event=session_given_up silence_s=%.1f", now - heard)
                return
            # The first heartbeat waits in the socket until the server is there; more would only queue behind it.
            if connected and now - max(heard, sent) >= self.heartbeat_s:
                socket.send_multipart([b"", *encode_heartbeat()])
                sent = now

    def _take(self, socket: zmq.Socket[bytes]) -> None:
        begun = perf_counter()
        frames = socket.recv_multipart()
        received = perf_counter()
        match decode_from_server(frames[1:]):
            case HeartbeatReply(HeartbeatType.REQUEST_METADATA):
                kind = data_type_of(self.input_type)
                socket.send_multipart([b"", *encode_new_container(self.name, self.version, kind)])
                _log.info("event=registering model=%s:%s input_type=%s", self.name, self.version, kind.readable)
            case PredictRequest() as request:
                self._answer(socket, request, begun, received)

    def _answer(self, socket: zmq.Socket[bytes], request: PredictRequest, begun: float, received: float) -> None:
        kind = data_type_of(self.input_type)
        if request.data_type is not kind:
            raise WireError(f"inputs of type {request.data_type.readable}; this model takes {kind.readable}")
        inputs = model_inputs(request.inputs, self.input_type)
        start = perf_counter()
        outputs = self.model.predict(inputs)
        predicted = perf_counter()
        frames = _frames(outputs, len(inputs))
        handled = perf_counter()
        socket.send_multipart([b"", *encode_response(request.message_id, frames)], copy=False)
        self.observe(len(inputs), predicted - start)
        self.observe_times(
            BatchTimes(
                size=len(inputs), receive_s=received - begun, parse_s=start - received, handle_s=handled - start
            )
        )


def _frames(outputs: object, count: int) -> list[bytes]:
    """Return the frames of a model's outputs, which may be a list, a tuple, an array ... of `count`."""
    if isinstance(outputs, np.ndarray) and outputs.ndim:
        outputs = list(outputs)
    if not isinstance(outputs, Sequence) or isinstance(outputs, str | bytes):
        raise OutputError(f"returned a {type(outputs).__name__} for {count} inputs; {_WANTED}")
    if len(outputs) != count:
        raise OutputError(f"returned {len(outputs)} outputs for {count} inputs; {_WANTED}")
    frames = []
    for place, output in enumerate(outputs):
        try:
            frames.append(output_bytes(output))
        except TypeError as error:
            raise OutputError(f"output {place} of {count}: {error}") from error
    return frames
