"""The container side of the RPC: serves one model to a serving core.

One batch at a time, one thread, as Clipper's own container does; a fresh socket and registration for each session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event
from time import monotonic, perf_counter

import zmq

from serving_adapter.models.loading import Model
from serving_adapter.rpc.values import data_type_of, model_inputs, output_bytes
from serving_adapter.rpc.wire import (
    HeartbeatReply,
    HeartbeatType,
    PredictRequest,
    decode_from_server,
    encode_heartbeat,
    encode_new_container,
    encode_response,
)

__all__ = ["Container", "OutputError"]

POLL_S = 5.0
"""Silence after which a container sends a heartbeat (clipper-rpc v3)."""

SILENCE_S = 30.0
"""Silence after which it gives the session up and begins a new one."""


class OutputError(ValueError):
    """A model did not return one output per input."""


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
    stop
        Set it to end `serve` within a poll.
    """

    model: Model
    name: str
    version: str
    input_type: str
    address: str
    observe: Callable[[int, float], None] = lambda size, seconds: None  # noqa: ARG005
    stop: Event = field(default_factory=Event)
    poll_s: float = POLL_S

    def serve(self) -> None:
        """Serve until `stop` is set.

        Raises
        ------
        OutputError
            When the model returns something else than one output per input.
        WireError
            When the server speaks something else.
        Exception
            Whatever the model raises.
        """
        with zmq.Context() as context:
            while not self.stop.is_set():
                with context.socket(zmq.DEALER) as socket:
                    socket.setsockopt(zmq.LINGER, 0)
                    socket.connect(self.address)
                    self._session(socket)

    def _session(self, socket: zmq.Socket[bytes]) -> None:
        socket.send_multipart([b"", *encode_heartbeat()])
        connected = False
        last = monotonic()
        while not self.stop.is_set():
            if not socket.poll(int(min(self.poll_s, POLL_S) * 1000)):
                if connected and monotonic() - last >= SILENCE_S:
                    return
                if connected and monotonic() - last >= POLL_S:
                    socket.send_multipart([b"", *encode_heartbeat()])
                continue
            message = decode_from_server(socket.recv_multipart()[1:])
            connected, last = True, monotonic()
            match message:
                case HeartbeatReply(HeartbeatType.REQUEST_METADATA):
                    kind = data_type_of(self.input_type)
                    socket.send_multipart([b"", *encode_new_container(self.name, self.version, kind)])
                case PredictRequest():
                    self._answer(socket, message)

    def _answer(self, socket: zmq.Socket[bytes], request: PredictRequest) -> None:
        inputs = model_inputs(request.inputs, self.input_type)
        start = perf_counter()
        outputs = self.model.predict(inputs)
        seconds = perf_counter() - start
        if isinstance(outputs, str | bytes) or not isinstance(outputs, Sequence) or len(outputs) != len(inputs):
            got = f"{len(outputs)} outputs" if hasattr(outputs, "__len__") else type(outputs).__name__
            raise OutputError(f"returned {got} for {len(inputs)} inputs; it must return one output per input")
        socket.send_multipart(
            [b"", *encode_response(request.message_id, [output_bytes(each) for each in outputs])], copy=False
        )
        self.observe(len(inputs), seconds)
