"""What each process of a run sends, and what came of it: what travels between processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving_adapter.load.records import Records
from serving_adapter.load.spec import Check, ClosedLoop, LoadSpec, Target

__all__ = ["Part", "Share", "Wires", "split"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wires:
    """What one process sends, where to, and how.

    Parameters
    ----------
    address
        Host and port to connect to.
    requests
        Whole requests; the query of number i in the whole run sends number i modulo their count.
    numbers
        Number of each of this process's queries in the whole run.
    connections
        Most that are open at once.
    timeout_ns
        A query fails so long after its intended instant.
    check
        Judges replies.
    """

    address: tuple[str, int]
    requests: Sequence[bytes]
    numbers: range
    connections: int
    timeout_ns: int
    check: Check | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Share:
    """What one process sends, and when.

    Parameters
    ----------
    wires
        What, where to, and how.
    intended_ns
        int64 (n,): instants from the start; empty in a closed loop.
    closed_ns
        Length of a closed loop; 0 for an open one.
    """

    wires: Wires
    intended_ns: NDArray[np.int64]
    closed_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """What came of a share.

    Parameters
    ----------
    records
        Every query of it; in an interrupted run also those that were never sent.
    opened, most_open, closed_by_server, resent, crowded, excerpt
        As `Exchange` and `OpenLoop` count them.
    cpu_s
        CPU time of the process from the start to the end.
    wall_s
        From the start to the end.
    stopped_ns
        When sending was interrupted, from the start; None when it was not.
    """

    records: Records
    opened: int
    most_open: int
    closed_by_server: int
    resent: int
    crowded: int
    excerpt: str
    cpu_s: float
    wall_s: float
    stopped_ns: int | None


def split(spec: LoadSpec, target: Target, address: tuple[str, int]) -> list[Share]:
    """Return what each process sends: query i belongs to process i modulo their count."""
    requests = [target.request(body) for body in spec.bodies]
    shares = []
    for place in range(spec.processes):
        connections, numbers = spec.connections, range(place, 2**62, spec.processes)
        if isinstance(spec.traffic, ClosedLoop):
            connections = len(range(place, spec.connections, spec.processes))
            times: tuple[NDArray[np.int64], int] = (np.zeros(0, np.int64), spec.traffic.duration_ns)
        else:
            times = (spec.traffic.arrival_ns[place :: spec.processes], 0)
        wires = Wires(
            address=address,
            requests=requests,
            numbers=numbers,
            connections=connections,
            timeout_ns=spec.timeout_ns,
            check=spec.check,
        )
        shares.append(Share(wires=wires, intended_ns=times[0], closed_ns=times[1]))
    return shares
