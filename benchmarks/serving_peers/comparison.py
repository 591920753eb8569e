"""What the cells say of InferLine and each peer: medians over the rounds, and ratios formed within one run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.serving_peers.measuring import Cell
from benchmarks.serving_peers.programs.model import model_s

__all__ = ["Claim", "Point", "claim_lines", "claims", "comparison_tables", "highest_rates"]

OURS = "InferLine"
ECHO = "ASGI echo"
MANY = 64
ECHO_SHARE = 1 / 3

Point = tuple[str, int, int]
"""Model, numbers of an input, replicas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """InferLine against one peer in one respect.

    Parameters
    ----------
    what, peer
        In which respect, and against whom.
    ratios
        By what factor InferLine is better; below 1 it is worse. 0 where InferLine has no figure and the peer has.
    """

    what: str
    peer: str
    ratios: Mapping[Point, float]

    @property
    def ahead(self) -> bool:
        """Whether InferLine is better wherever both were measured."""
        return bool(self.ratios) and min(self.ratios.values()) > 1


def claims(cells: Sequence[Cell]) -> list[Claim]:
    """Return every claim; closed loops with 64 connections or one, and open loops at equal rates."""
    peers = [name for name in dict.fromkeys(cell.system for cell in cells) if name not in (OURS, ECHO)]
    many, one = _closed(cells, MANY), _closed(cells, 1)
    served = _medians(many, _served_qps)
    less_is_better = {
        "overhead at one connection": _medians(one, _overhead_s),
        f"CPU per request at {MANY} connections": _medians(many, _cpu_s),
        f"memory at {MANY} connections": _medians(many, _memory_bytes),
    }
    found = []
    for peer in peers:
        found.append(Claim(what=f"requests/s at {MANY} connections", peer=peer, ratios=_ratios(served, OURS, peer)))
        for what, medians in less_is_better.items():
            found.append(Claim(what=what, peer=peer, ratios=_ratios(medians, peer, OURS)))
        for what, value in (("P99", _p99_s), ("CPU per request", _cpu_s)):
            loads = _equal_loads(cells, peer, value)
            ratios = {point: theirs / ours for point, (_, ours, theirs) in loads.items()}
            found.append(Claim(what=f"{what} at the highest rate that both sustain", peer=peer, ratios=ratios))
    if ECHO in (cell.system for cell in cells):
        echo = {point: ratio / ECHO_SHARE for point, ratio in _ratios(served, OURS, ECHO).items()}
        found.append(Claim(what="requests/s of the no-op, over a third of the echo's", peer=ECHO, ratios=echo))
    return found


def claim_lines(found: Iterable[Claim]) -> list[str]:
    """Return a line for each claim."""
    lines = []
    for claim in found:
        if not claim.ratios:
            lines.append(f"{claim.what}, against {claim.peer}: no figures")
            continue
        least, most = min(claim.ratios.values()), max(claim.ratios.values())
        worst = min(claim.ratios, key=lambda point: claim.ratios[point])
        lines.append(
            f"{claim.what}, against {claim.peer}: {least:.2f}x to {most:.2f}x better in {len(claim.ratios)} setups "
            f"(least with {_named(worst)}); ahead: {'yes' if claim.ahead else 'no'}"
        )
    return lines


def comparison_tables(cells: Sequence[Cell]) -> list[str]:
    """Return Markdown tables with the figures behind the claims."""
    many, one = _closed(cells, MANY), _closed(cells, 1)
    names = list(dict.fromkeys(cell.system for cell in cells))
    peers = [name for name in names if name not in (OURS, ECHO)]
    return [
        _table(
            f"Requests/s, closed loop, {MANY} connections", names, _medians(many, lambda c: c.served_qps), "{:,.0f}"
        ),
        _table(
            "Overhead in ms: median latency at one connection minus the model's own time",
            names,
            _medians(one, lambda cell: _overhead_s(cell) * 1e3),
            "{:.2f}",
        ),
        _table(
            f"CPU seconds per 1,000 requests, {MANY} connections",
            names,
            _medians(many, _cpu_s),
            "{:.3f}",
        ),
        _table(
            f"Memory in MiB, {MANY} connections",
            names,
            _medians(many, lambda cell: cell.memory_bytes / 2**20),
            "{:.0f}",
        ),
        _table("Highest rate sustained, open loop, requests/s", names, highest_rates(cells), "{:,.0f}"),
        _equal_load_table(cells, peers),
    ]


def highest_rates(cells: Sequence[Cell]) -> dict[Point, dict[str, float]]:
    """Return the highest open-loop rate at which every query was answered in time."""
    found: dict[Point, dict[str, float]] = {}
    for (point, system, rate), same in _by_rate(cells).items():
        if _sustained(same):
            of_point = found.setdefault(point, {})
            of_point[system] = max(rate, of_point.get(system, 0.0))
    return found


def _closed(cells: Iterable[Cell], connections: int) -> list[Cell]:
    return [cell for cell in cells if cell.connections == connections and not cell.why]


def _served_qps(cell: Cell) -> float:
    return cell.served_qps


def _overhead_s(cell: Cell) -> float:
    return max(1e-6, (cell.p50_s or 0.0) - model_s(cell.model, 1))


def _p99_s(cell: Cell) -> float | None:
    return cell.p99_s


def _cpu_s(cell: Cell) -> float | None:
    return cell.cpu_s_per_1000 or None  # 0 is less than a tick of the clock


def _memory_bytes(cell: Cell) -> float:
    return cell.memory_bytes


def _medians(cells: Iterable[Cell], value: Callable[[Cell], float | None]) -> dict[Point, dict[str, float]]:
    values: dict[Point, dict[str, list[float]]] = {}
    for cell in cells:
        if (found := value(cell)) is not None:
            values.setdefault(_point(cell), {}).setdefault(cell.system, []).append(found)
    return {
        point: {name: statistics.median(each) for name, each in systems.items()} for point, systems in values.items()
    }


def _ratios(medians: Mapping[Point, Mapping[str, float]], above: str, below: str) -> dict[Point, float]:
    """Return one system's figure over another's; 0 where only InferLine has none."""
    peer = below if above == OURS else above
    found = {}
    for point, systems in medians.items():
        if peer in systems:
            found[point] = systems[above] / systems[below] if OURS in systems else 0.0
    return found


def _by_rate(cells: Iterable[Cell]) -> dict[tuple[Point, str, float], list[Cell]]:
    found: dict[tuple[Point, str, float], list[Cell]] = {}
    for cell in cells:
        if cell.asked_qps is not None:
            found.setdefault((_point(cell), cell.system, cell.asked_qps), []).append(cell)
    return found


def _sustained(same: Sequence[Cell]) -> bool:
    """Whether the rate was sustained in at least half of the attempts, second chances included."""
    return 2 * sum(cell.sustained for cell in same) >= len(same)


def _equal_loads(
    cells: Sequence[Cell], peer: str, value: Callable[[Cell], float | None]
) -> dict[Point, tuple[float, float, float]]:
    """Return the highest rate that both sustain, and the figure of InferLine and of the peer there."""
    medians: dict[tuple[Point, str, float], float] = {}
    for key, same in _by_rate(cells).items():
        values = [found for cell in same if cell.sustained and (found := value(cell)) is not None]
        if _sustained(same) and values:
            medians[key] = statistics.median(values)
    found: dict[Point, tuple[float, float, float]] = {}
    for (point, system, rate), theirs in sorted(medians.items()):
        if system == peer and (point, OURS, rate) in medians:
            found[point] = (rate, medians[point, OURS, rate], theirs)
    return found


def _point(cell: Cell) -> Point:
    return cell.model, cell.size, cell.replicas


def _named(point: Point) -> str:
    model, size, replicas = point
    return f"{model}, {size} numbers, {replicas} replica{'s' if replicas > 1 else ''}"


def _table(title: str, names: Sequence[str], medians: Mapping[Point, Mapping[str, float]], form: str) -> str:
    lines = [f"| {title} | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    for point, systems in medians.items():
        figures = [form.format(systems[name]) if name in systems else "-" for name in names]
        lines.append(f"| {_named(point)} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _equal_load_table(cells: Sequence[Cell], peers: Sequence[str]) -> str:
    lines = [
        "| At the highest rate that both sustain | rate | P99 ms: InferLine | peer | CPU s/1,000: InferLine | peer |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for peer in peers:
        cpu = _equal_loads(cells, peer, _cpu_s)
        for point, (rate, ours, theirs) in _equal_loads(cells, peer, _p99_s).items():
            _, our_cpu_s, their_cpu_s = cpu[point]
            lines.append(
                f"| {_named(point)}: {peer} | {rate:,.0f} | {ours * 1e3:.1f} | {theirs * 1e3:.1f} "
                f"| {our_cpu_s:.3f} | {their_cpu_s:.3f} |"
            )
    return "\n".join(lines)
