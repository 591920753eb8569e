"""What traffic to send, and where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from inferline.domain import Trace
from inferline.errors import Fault, InputError
from inferline.files.wording import shown
from inferline.units import NANO

__all__ = ["CONNECTIONS", "TIMEOUT_NS", "Check", "ClosedLoop", "LoadSpec", "Target", "parse_target"]

CONNECTIONS = 256
"""Most connections of one process, unless said otherwise."""

TIMEOUT_NS = 5 * NANO
"""A query without a reply after this long has failed, unless said otherwise."""

Check = Callable[[int, bytes], bool]
"""Whether the body of a 2xx reply is the right one for the query of that number, from 0 in the order of the trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoop:
    """Every connection sends its next query as soon as the reply to the last one is there.

    That measures throughput. Its latencies are not those of users, who do not wait for one another.

    Parameters
    ----------
    duration_ns
        How long queries are sent.
    """

    duration_ns: int

    def __post_init__(self) -> None:
        if self.duration_ns < 1:
            raise ValueError(f"duration_ns is {self.duration_ns}; a closed loop lasts at least 1 ns")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadSpec:
    """One run of the load generator.

    Parameters
    ----------
    url
        Where queries are posted to, like ``http://127.0.0.1:1337/app/predict``.
    bodies
        Bodies of the requests; query i sends number i modulo their count.
    traffic
        Instants at which queries are sent, whatever became of the earlier ones; or a closed loop.
    processes
        Processes that share the traffic, round-robin.
    connections
        Most connections of one process; in a closed loop, connections of all processes together.
    timeout_ns
        A query fails so long after its intended instant, sent or not.
    lag_bound_ns
        Largest P99 of the send error with which the run counts; None for the rule of `verdict.lag_bound_ns`.
    check
        Judges replies; None takes every 2xx reply for right. With several processes it must be picklable.

    Raises
    ------
    ValueError
        When a number is out of range or there is no body.
    """

    url: str
    bodies: Sequence[bytes]
    traffic: Trace | ClosedLoop
    processes: int = 1
    connections: int = CONNECTIONS
    timeout_ns: int = TIMEOUT_NS
    lag_bound_ns: int | None = None
    check: Check | None = None

    def __post_init__(self) -> None:
        if not self.bodies:
            raise ValueError("bodies is empty; at least one is needed")
        for name in ("processes", "connections", "timeout_ns"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is accepted")
        if isinstance(self.traffic, ClosedLoop) and self.connections < self.processes:
            raise ValueError(
                f"{self.processes} processes cannot share connections={self.connections}; one each at least"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an URL leads.

    Parameters
    ----------
    host, port
        Name or address, and TCP port.
    path
        Path with its query, as it stands in the request line.
    authority
        What the Host header says.
    """

    host: str
    port: int
    path: str
    authority: str

    def request(self, body: bytes) -> bytes:
        """Return the whole request that posts a body."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.authority}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode("ascii") + body


def parse_target(url: str) -> Target:
    """Read an URL.

    Raises
    ------
    InputError
        When it is no plain ``http://`` URL.

    Examples
    --------
    >>> parse_target("http://localhost:1337/app/predict")
    Target(host='localhost', port=1337, path='/app/predict', authority='localhost:1337')
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        raise _fault(url, "has a blank or a character that is not ASCII; write it percent-encoded")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _fault(url, f"is no URL: {error}") from error
    if parts.scheme != "http":
        raise _fault(url, f"has the scheme {shown(parts.scheme)}; only http:// is spoken")
    if not host:
        raise _fault(url, "names no host; write http://HOST:PORT/APP/predict")
    if parts.username is not None or parts.fragment:
        raise _fault(url, "has a user name or a fragment; neither is sent")
    path = parts.path or "/"
    return Target(
        host=host,
        port=80 if port is None else port,
        path=f"{path}?{parts.query}" if parts.query else path,
        authority=parts.netloc,
    )


def _fault(url: str, message: str) -> InputError:
    return InputError(Fault("URL", shown(url), message))
