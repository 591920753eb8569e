"""Random small networks on a coarse grid of instants, so that nearly everything happens at the same time.

Strategies of Hypothesis, written with few and cheap draws: a trace is a text of bytes, a mask is one integer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from hypothesis import strategies as st

from inferline.domain import Routes
from simulator import Network, Result, Station, simulate

ALWAYS, SOMETIMES, NEVER, OTHERWISE = range(4)


@dataclass(frozen=True)
class Instance:
    """A network and a trace with routes."""

    network: Network
    arrival_ns: np.ndarray
    taken: Routes

    def run(self, engine: str = "kernel", **options: bool) -> Result:
        return simulate(self.network, self.arrival_ns, self.taken, engine, **options)

    def __repr__(self) -> str:  # what Hypothesis prints is what one can paste
        taken = ", ".join(f"{edge}: np.array({mask.tolist()})" for edge, mask in self.taken.items())
        return f"Instance({self.network}, np.array({self.arrival_ns.tolist()}), {{{taken}}})"


def arrivals(max_queries: int = 40) -> st.SearchStrategy[np.ndarray]:
    """Instants with gaps of 0 to 5; more than a third of them are 0."""
    # A text of unspecified length would nearly always be short.
    return (
        st.integers(0, max_queries)
        .flatmap(lambda queries: st.binary(min_size=queries, max_size=queries))
        .map(lambda text: np.cumsum([max(0, byte % 8 - 2) for byte in text], dtype=np.int64))
    )


def tables(max_batch: int = 4, max_ns: int = 9) -> st.SearchStrategy[tuple[int, ...]]:
    """L(1) ... L(B), in no order: a larger batch may be faster."""
    sizes = st.integers(1, max_batch).flatmap(lambda size: st.binary(min_size=size, max_size=size))
    return sizes.map(lambda text: tuple(1 + byte % max_ns for byte in text))


@st.composite
def instances(draw: st.DrawFn, max_queries: int = 40, max_stations: int = 5, max_batch: int = 4) -> Instance:
    """Any network of up to three parents per station, with any kind of route."""
    arrival_ns = draw(arrivals(max_queries))
    stations: list[Station] = []
    taken: dict[tuple[str, str], np.ndarray] = {}
    latest: dict[str, np.ndarray] = {}
    for place in range(draw(st.integers(1, max_stations))):
        name = f"s{place}"
        candidates = draw(st.integers(0, 2**place - 1))
        parents = [f"s{k}" for k in range(place) if candidates >> k & 1][:3]
        for parent in parents:
            mask = _mask(draw, arrival_ns.size, latest.get(parent))
            if mask is not None:
                taken[parent, name] = latest[parent] = mask
        stations.append(Station(name, draw(tables(max_batch)), draw(st.integers(1, 4)), tuple(parents)))
    return Instance(Network(tuple(stations)), arrival_ns, taken)


def _mask(draw: st.DrawFn, queries: int, before: np.ndarray | None) -> np.ndarray | None:
    """Return the mask of an edge: none, random, all False, or whatever the parent's edge before did not take."""
    kind = draw(st.sampled_from((ALWAYS, SOMETIMES, NEVER, OTHERWISE)))
    if kind == ALWAYS:
        return None
    if kind == NEVER:
        return np.zeros(queries, dtype=np.bool_)
    if kind == OTHERWISE and before is not None:
        return ~before
    bits = draw(st.integers(0, 2**queries - 1))
    return np.array([bits >> k & 1 for k in range(queries)], dtype=np.bool_)


@st.composite
def chains(draw: st.DrawFn, max_queries: int = 40, max_batch: int = 4) -> Instance:
    """One to four stations in a row, every query through all of them."""
    network = Network(
        tuple(
            Station(f"s{k}", draw(tables(max_batch)), draw(st.integers(1, 4)), (f"s{k - 1}",) if k else ())
            for k in range(draw(st.integers(1, 4)))
        )
    )
    return Instance(network, draw(arrivals(max_queries)), {})


@st.composite
def diamonds(draw: st.DrawFn, max_queries: int = 40) -> Instance:
    """An entry, two or three branches, and the join of them; every branch with its own kind of route."""
    arrival_ns = draw(arrivals(max_queries))
    station = partial(_station, draw)
    branches = [f"branch{k}" for k in range(draw(st.integers(2, 3)))]
    stations = [station("entry"), *(station(name, "entry") for name in branches), station("join", *branches)]
    taken: dict[tuple[str, str], np.ndarray] = {}
    before = None
    for edge in [("entry", name) for name in branches] + [(name, "join") for name in branches]:
        mask = _mask(draw, arrival_ns.size, before)
        if mask is not None:
            taken[edge] = before = mask
    return Instance(Network(tuple(stations)), arrival_ns, taken)


def _station(draw: st.DrawFn, name: str, *parents: str) -> Station:
    return Station(name, draw(tables()), draw(st.integers(1, 4)), parents)
