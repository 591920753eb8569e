"""Epochs: what a station runs with from one instant to the next, and the checks of a whole schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from inferline.errors import InputError
from inferline.units import MAX_TIME_NS
from simulator.network import Network, Station

__all__ = ["Epoch", "Schedule", "check_schedule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What a station runs with from an instant on.

    Parameters
    ----------
    start_ns
        When the epoch begins: its replicas are ready and its table holds. Activation delays have passed by then.
    batch_latency_ns
        L(1) ... L(B), as of `Station`.
    replicas
        Replicas that take batches; 0 is possible while another epoch follows.
    new_hardware
        Whether these are other replicas than before: all of them are free, and the old ones only finish what they
        have in service.
    """

    start_ns: int
    batch_latency_ns: Sequence[int]
    replicas: int
    new_hardware: bool = False

    def __post_init__(self) -> None:
        table = tuple(int(latency) for latency in self.batch_latency_ns)
        object.__setattr__(self, "batch_latency_ns", table)
        if not table or min(table) < 1 or max(table) > MAX_TIME_NS:
            raise InputError("epoch: batch latencies must lie in [1, 2**62] ns, one per batch size")
        if not 0 <= self.start_ns <= MAX_TIME_NS or self.replicas < 0:
            raise InputError(
                f"epoch: starts at {self.start_ns} ns with {self.replicas} replicas; both are at least 0"
            )


Schedule = Mapping[str, Sequence[Epoch]]
"""By station, the epochs after the one that the network describes, in the order of time."""


def check_schedule(network: Network, schedule: Schedule, arrivals: NDArray[np.int64]) -> None:
    """Check that a schedule fits its network, and that no time can pass 2**62 ns.

    Parameters
    ----------
    network, schedule
        What runs until the first epochs, and the epochs.
    arrivals
        int64 (n,): what `check_arrivals` returned.
    """
    stations: dict[str, Station] = {station.name: station for station in network.stations}
    for name in schedule:
        if name not in stations:
            raise InputError(f"schedule: no station {name!r} in the network")
    end = int(arrivals[-1]) if arrivals.size else 0
    for name, station in stations.items():
        if station.sampled is not None:
            raise InputError(f"station {name!r}: service times drawn per batch cannot run under a schedule")
        epochs = schedule.get(name, ())
        starts = [epoch.start_ns for epoch in epochs]
        if any(after <= before for before, after in pairwise(starts)):
            raise InputError(
                f"schedule of {name!r}: epochs begin at {starts} ns; each must begin after the one before"
            )
        replicas = epochs[-1].replicas if epochs else station.replicas
        if replicas < 1:
            raise InputError(f"schedule of {name!r}: the last epoch has no replicas; the queue would wait for ever")
        # From the last epoch on the station is never idle while queries wait, once what is in service has ended.
        slowest = max(max(table) for table in (station.batch_latency_ns, *(each.batch_latency_ns for each in epochs)))
        end = max(end, *starts, 0) + (arrivals.size // replicas + 2) * slowest
    if end > MAX_TIME_NS:
        raise InputError(f"the simulation could pass 2**62 ns (it may last until {end} ns); shorten the trace")
