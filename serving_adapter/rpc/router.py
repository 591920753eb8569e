"""The server side of the RPC: one ROUTER that all model containers connect to, inside an asyncio event loop.

The socket is read through its file descriptor, without a thread and without a wrapper per message: at 10,000 queries
a second the difference is what one core can still carry. A container whose connection breaks is noticed at once: the
transport reports a disconnect, and a send to the vanished identity then fails (``ROUTER_MANDATORY``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

import zmq
from zmq.utils.monitor import parse_monitor_message

from inferline.errors import OutsideError
from serving_adapter.rpc.wire import (
    RPC_VERSION,
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

__all__ = ["CHECK_S", "SILENCE_S", "Containers", "Router"]

SILENCE_S = 30.0
"""A registered container that is silent for longer is dropped (Clipper's RPC, version 3)."""

CHECK_S = 10.0
"""How often that is looked at."""

_BURST = 256
"""Messages read in one go before the event loop gets its turn."""

_PROBES_S = (0.0, 0.02, 0.2, 1.0)
"""When, after a disconnect, it is tried who can still be sent to."""

_MALFORMED_LOGGED = 10

_log = logging.getLogger(__name__)


class Containers(Protocol):
    """What the router tells about containers; each is called in the event loop."""

    def registered(self, identity: bytes, container: NewContainer) -> None:
        """Note that a container has registered and can serve."""

    def answered(self, identity: bytes, response: PredictResponse) -> None:
        """Take the answer of a registered container."""

    def gone(self, identity: bytes, reason: str) -> None:
        """Note that a registered container has vanished, or was silent for too long."""


class Router:
    """The ROUTER socket.

    Parameters
    ----------
    containers
        Who is told.
    silence_s, check_s
        When a silent container is dropped, and how often that is looked at.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        containers: Containers,
        *,
        silence_s: float = SILENCE_S,
        check_s: float = CHECK_S,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._containers = containers
        self._silence_s = silence_s
        self._check_s = check_s
        self._clock = clock
        self._last_heard: dict[bytes, float] = {}
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._monitor: zmq.Socket[bytes] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._asked_to_read = False
        self._malformed = 0
        self.port = 0

    def start(self, host: str, port: int) -> None:
        """Listen, and read within the running event loop from now on; port 0 takes a free one.

        Raises
        ------
        OutsideError
            When the address cannot be listened on.
        """
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.SNDHWM, 0)  # a full queue would look like a vanished peer; one batch is in flight
        self._socket.setsockopt(zmq.RCVHWM, 10_000)
        self._socket.setsockopt(zmq.MAXMSGSIZE, 2**30)
        if ":" in host:
            self._socket.setsockopt(zmq.IPV6, 1)
            host = f"[{host}]"
        try:
            self._socket.bind(f"tcp://{host}:{port or '*'}")
        except zmq.ZMQError as error:
            raise OutsideError(f"cannot listen for model containers on {host}:{port}: {error}") from error
        self.port = int(self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rsplit(":", 1)[1])
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.FD, self._read)
        self._loop.add_reader(self._monitor.FD, self._disconnected)
        self._disconnected()  # a descriptor of ZeroMQ reports edges only after somebody has looked
        self._timer = self._loop.call_later(self._check_s, self._check)

    def close(self) -> None:
        """Stop listening."""
        if self._loop is not None and self._monitor is not None:
            self._loop.remove_reader(self._socket.FD)
            self._loop.remove_reader(self._monitor.FD)
            self._socket.disable_monitor()
            self._monitor.close(0)
        if self._timer is not None:
            self._timer.cancel()
        self._socket.close()
        self._context.term()

    def send(self, identity: bytes, message_id: int, data_type: DataType, inputs: Sequence[bytes]) -> bool:
        """Send one batch; return False when the container is not there any more (it is then reported gone)."""
        return self._send(identity, encode_request(message_id, data_type, inputs))

    def forget(self, identity: bytes) -> None:
        """Treat a container as unknown from now on: it is asked to register again when it next shows up."""
        self._last_heard.pop(identity, None)

    def _send(self, identity: bytes, frames: Sequence[bytes]) -> bool:
        try:
            self._socket.send_multipart([identity, b"", *frames], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if identity in self._last_heard:
                self._drop(identity, f"its connection is gone ({error})")
            return False
        finally:
            # A send, even one that fails, may swallow the edge that says there is something to read.
            self._read_soon()
        return True

    def _read_soon(self) -> None:
        if self._asked_to_read or self._loop is None or self._socket.closed:
            return
        if _readable(self._socket):
            self._asked_to_read = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        """Read what has come. The descriptor is edge-triggered: read until there is nothing, or ask to come back."""
        self._asked_to_read = False
        for _ in range(_BURST):
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            except zmq.ZMQError as error:
                if not self._socket.closed:
                    _log.error("event=rpc_read_failed error=%s", error)
                return
            try:
                self._take(parts)
            except Exception:  # the descriptor tells only once of what is left to read
                _log.exception("event=rpc_message_failed identity=%s", parts[0].hex())
            if self._socket.closed:
                return
        self._read_soon()

    def _take(self, parts: list[bytes]) -> None:
        identity = parts[0]
        if len(parts) < 3 or parts[1]:
            self._note_malformed(identity, "no delimiter")
            return
        try:
            message = decode_from_container(parts[2:])
        except WireError as error:
            # Life is counted only for what follows the protocol, so that a broken container is dropped in the end.
            self._note_malformed(identity, error)
            return
        known = identity in self._last_heard
        if known:
            self._last_heard[identity] = self._clock()
        if type(message) is PredictResponse:
            if known:
                self._containers.answered(identity, message)
        elif type(message) is Heartbeat:
            kind = HeartbeatType.KEEP_ALIVE if known else HeartbeatType.REQUEST_METADATA
            self._send(identity, encode_heartbeat_reply(kind))
        elif type(message) is NewContainer and not known:
            self._register(identity, message)

    def _note_malformed(self, identity: bytes, reason: object) -> None:
        """Log the first ones of each while: a broken container sends many."""
        self._malformed += 1
        if self._malformed <= _MALFORMED_LOGGED:
            _log.warning("event=rpc_malformed identity=%s reason=%s", identity.hex(), reason)

    def _register(self, identity: bytes, container: NewContainer) -> None:
        if container.rpc_version != RPC_VERSION:
            _log.error(
                "event=rpc_version_mismatch model=%s:%s theirs=%s ours=%d",
                container.name,
                container.version,
                container.rpc_version,
                RPC_VERSION,
            )
            return
        self._last_heard[identity] = self._clock()
        self._containers.registered(identity, container)

    def _disconnected(self) -> None:
        """Find out which container it was: whoever cannot be sent to is gone."""
        monitor = self._monitor
        if monitor is None:
            return
        some = False
        while _readable(monitor):
            parse_monitor_message(monitor.recv_multipart(zmq.NOBLOCK))
            some = True
        if some and self._loop is not None:
            # The report may come before the socket has let go of the connection: then it is still sent to.
            for delay_s in _PROBES_S:
                self._loop.call_later(delay_s, self._probe)

    def _probe(self) -> None:
        if not self._socket.closed:
            for identity in list(self._last_heard):
                self._send(identity, encode_heartbeat_reply(HeartbeatType.KEEP_ALIVE))

    def _check(self) -> None:
        now = self._clock()
        if self._malformed > _MALFORMED_LOGGED:
            _log.warning("event=rpc_malformed more=%d", self._malformed - _MALFORMED_LOGGED)
        self._malformed = 0
        for identity, heard in list(self._last_heard.items()):
            if now - heard > self._silence_s:
                self._drop(identity, f"silent for {now - heard:.0f} s")
        if self._loop is not None:
            self._timer = self._loop.call_later(self._check_s, self._check)

    def _drop(self, identity: bytes, reason: str) -> None:
        self._last_heard.pop(identity, None)
        self._containers.gone(identity, reason)


def _readable(socket: zmq.Socket[bytes]) -> bool:
    return bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)
