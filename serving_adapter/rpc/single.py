"""The server side of the RPC for one container: what measures a replica needs no more than this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic, perf_counter

import zmq

from inferline.errors import OutsideError
from serving_adapter.rpc.wire import (
    DataType,
    Heartbeat,
    HeartbeatType,
    NewContainer,
    PredictResponse,
    WireError,
    decode_from_container,
    encode_heartbeat_reply,
    encode_request,
)

__all__ = ["SingleReplica"]

_WATCH_MS = 50


class SingleReplica:
    """A ROUTER on a free loopback port that one container registers with.

    It reads and answers, heartbeats too, only while one of its methods runs. A container that hears nothing for 30 s
    begins a new session, and has to be awaited again.

    Parameters
    ----------
    host
        Address to listen on.
    port
        Port; 0 takes a free one.

    Attributes
    ----------
    port
        The port it listens on.
    registered
        What registered; None before `await_registration`.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        try:
            self._socket.bind(f"tcp://{host}:{port or '*'}")
        except zmq.ZMQError as error:
            self.close()
            raise OutsideError(f"cannot listen on {host}:{port}: {error}") from error
        endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.port = int(endpoint.rsplit(":", 1)[1])
        self.registered: NewContainer | None = None
        self._identity = b""
        self._next_id = 0

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
        self._context.term()

    def await_registration(self, timeout_s: float, check: Callable[[], None] = lambda: None) -> NewContainer:
        """Wait until a container registers, with whatever version of the protocol it says.

        Parameters
        ----------
        timeout_s
            How long to wait.
        check
            Called while waiting; may raise, for instance when the container's process has ended.

        Raises
        ------
        TimeoutError
            When none did in time.
        WireError
            When what connects speaks something else.
        """
        self._next(timeout_s, check, wanted=NewContainer)
        if self.registered is None:
            raise TimeoutError
        return self.registered

    def predict(
        self,
        data_type: DataType,
        inputs: Sequence[bytes],
        timeout_s: float,
        check: Callable[[], None] = lambda: None,
    ) -> tuple[list[bytes], float]:
        """Have one batch predicted; return its outputs and the seconds from sending to the whole answer.

        Raises
        ------
        TimeoutError
            When the answer did not come in time.
        WireError
            When the container speaks something else, or answers with another number of outputs than inputs.
        """
        message_id = self._next_id = self._next_id + 1
        frames = encode_request(message_id, data_type, inputs)
        start = perf_counter()
        self._socket.send_multipart([self._identity, b"", *frames], copy=False)
        response = self._next(timeout_s, check, wanted=PredictResponse, message_id=message_id)
        seconds = perf_counter() - start
        if not isinstance(response, PredictResponse) or len(response.outputs) != len(inputs):
            count = len(response.outputs) if isinstance(response, PredictResponse) else 0
            raise WireError(f"answered {count} outputs for {len(inputs)} inputs")
        return response.outputs, seconds

    def _next(
        self, timeout_s: float, check: Callable[[], None], *, wanted: type, message_id: int = -1
    ) -> NewContainer | PredictResponse:
        """Return the next wanted message; answer heartbeats meanwhile."""
        deadline = monotonic() + timeout_s
        while True:
            left_ms = (deadline - monotonic()) * 1000
            if left_ms <= 0:
                raise TimeoutError(f"no {'registration' if wanted is NewContainer else 'answer'} in {timeout_s:g} s")
            if not self._socket.poll(min(_WATCH_MS, max(1, int(left_ms)))):
                check()
                continue
            identity, message = self._receive()
            if isinstance(message, Heartbeat):
                known = identity == self._identity
                kind = HeartbeatType.KEEP_ALIVE if known else HeartbeatType.REQUEST_METADATA
                self._socket.send_multipart([identity, b"", *encode_heartbeat_reply(kind)])
            elif isinstance(message, NewContainer):
                self._identity, self.registered = identity, message
                if wanted is not NewContainer:
                    raise WireError("a container registered while a batch was out, which is lost with that")
                return message
            elif message is not None and identity == self._identity and message.message_id == message_id:
                return message

    def _receive(self) -> tuple[bytes, Heartbeat | NewContainer | PredictResponse | None]:
        """Return the next message and whose it is; None for what a stranger sends that is no message."""
        identity, *frames = self._socket.recv_multipart()
        try:
            if frames[:1] != [b""]:
                raise WireError("no empty frame before the message")
            return identity, decode_from_container(frames[1:])
        except WireError:
            if self.registered is None or identity == self._identity:
                raise
            return identity, None
