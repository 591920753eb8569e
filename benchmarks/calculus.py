"""The question: how far are the bounds of network calculus from what happens, and what do they cost to keep up.

Random stations (maximum batch size, service times, replicas) get random arrivals (gamma gaps, on-off bursts, clumps
that arrive at once), and the simulator says what happens. In no station may a query's delay exceed the bound: a
violation ends the benchmark with exit status 1. Then each station gets a delay budget, and the certified number of
replicas is held against the least number that keeps the longest simulated delay within the budget. What is known of
the arrivals is the whole trace, or 14 windows that double, or the 14 windows that say most about the budget; windows
are refined twice. Last, nanoseconds per arrival of the online curve with 14 windows, in processor time, since others
may be using the machine.

    python -m benchmarks.calculus                      # 3,000 stations, about two minutes
    python -m benchmarks.calculus --format json
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from inferline.calculus import (
    ArrivalCurve,
    OnlineCurve,
    Staircase,
    Uncertified,
    WholeTrace,
    certified_replicas,
    certifying_windows_ns,
    delay_bound_ns,
    envelope_windows_ns,
    max_arrivals,
)
from inferline.domain import gamma_trace
from simulator import Network, Station, simulate

MS = 1_000_000
WINDOWS = 14
TARGET_RATIO = 1.25
TARGET_NS = 150
BUDGETS = ((1.0, 2.0), (2.0, 3.0), (3.0, 5.0), (5.0, 10.0))

Instants = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """A station, its arrivals, and the delay that it is sized for."""

    arrival_ns: Instants
    batch_latency_ns: tuple[int, ...]
    replicas: int
    budget_ns: int

    @property
    def longest_ns(self) -> int:
        """The longest time that a batch is in service."""
        return max(self.batch_latency_ns)

    def longest_delay_ns(self, replicas: int) -> int:
        """Simulate with so many replicas; return the longest delay."""
        network = Network((Station("station", self.batch_latency_ns, replicas),))
        return int(simulate(network, self.arrival_ns, record_visits=False).latency_ns.max())

    def late_with(self, certified: int | None) -> int:
        """Count the numbers tried, the certified one and larger ones, that break the budget in simulation."""
        if certified is None:
            return 0
        # More replicas can do worse than fewer.
        tried = {certified, certified + 1, 2 * certified}
        return sum(self.longest_delay_ns(replicas) > self.budget_ns for replicas in tried)

    def least_replicas(self, most: int) -> int | None:
        """Return the least number, up to ``most``, that keeps the longest delay within the budget in simulation."""
        return next((c for c in range(1, most + 1) if self.longest_delay_ns(c) <= self.budget_ns), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was found for one case: budget over L*, and for each of `KNOWN`, in order, what follows from it."""

    budget: float
    bound_ratios: tuple[float, ...]
    certified: tuple[int | None, ...]
    least: int | None
    violations: tuple[int, ...]

    def ratio(self, place: int) -> float:
        """Return certified over least number of replicas; infinite where none is certified."""
        certified = self.certified[place]
        return math.inf if certified is None or self.least is None else certified / self.least


def random_case(number: int, seed: int = 0) -> Case:
    """Draw a case."""
    rng = np.random.default_rng((seed, number))
    table_ns = _random_table(rng)
    max_batch = len(table_ns)
    replicas = int(np.exp(rng.uniform(0, math.log(17))))
    rate = rng.uniform(0.2, 1.1) * replicas * max_batch / table_ns[-1]
    queries = min(10_000, max(1000, 20 * replicas * max_batch))
    return Case(
        arrival_ns=_random_arrivals(rng, rate, queries),
        batch_latency_ns=table_ns,
        replicas=replicas,
        budget_ns=int(max(table_ns) * np.exp(rng.uniform(math.log(BUDGETS[0][0]), math.log(BUDGETS[-1][1])))),
    )


def _random_table(rng: np.random.Generator) -> tuple[int, ...]:
    """Draw L(1) ... L(B): constant, growing in a line, that with noise, or anything."""
    max_batch = int(rng.choice([1, 2, 4, 8, 16, 32]))
    size = np.arange(1, max_batch + 1)
    grows = 1 + rng.choice([0.0, rng.uniform(0.02, 1.0)]) * (size - 1)
    noise = rng.choice([1.0, rng.uniform(0.9, 1.1), rng.uniform(0.5, 2.0)]) ** rng.standard_normal(max_batch)
    first_ns = MS * np.exp(rng.uniform(0, math.log(100)))
    return tuple(int(latency_ns) for latency_ns in np.maximum(1, first_ns * grows * noise))


def _random_arrivals(rng: np.random.Generator, rate: float, queries: int) -> Instants:
    """Draw arrivals at a mean rate per nanosecond: gamma gaps, on and off, or in clumps."""
    kind = rng.choice(["gamma", "on-off", "clumps"])
    if kind == "gamma":
        cv2 = rng.choice([0.1, 1.0, 4.0, 16.0])
        gaps = rng.gamma(1 / cv2, cv2 / rate, queries)
    elif kind == "on-off":
        on = rng.uniform(0.1, 0.9)
        gaps = rng.exponential(on / rate, queries)
        ends = rng.random(queries) < 1 / rng.uniform(5, 200)
        gaps[ends] += rng.exponential((1 - on) / rate * queries / max(1, ends.sum()), ends.sum())
    else:
        mean = rng.uniform(1, 20)
        gaps = rng.exponential(mean / rate, queries) * (rng.random(queries) < 1 / mean)
    return np.cumsum(gaps).astype(np.int64)


def whole_trace(case: Case) -> ArrivalCurve:
    """Return all that can be known."""
    return WholeTrace(case.arrival_ns)


def doubling_windows(case: Case) -> ArrivalCurve:
    """Return what windows that double say, from the shortest service time on."""
    return _of_windows(case, [min(case.batch_latency_ns) * 2**power for power in range(WINDOWS)])


def budget_windows(case: Case) -> ArrivalCurve:
    """Return what the windows say that matter most for the budget."""
    return _of_windows(case, certifying_windows_ns(case.batch_latency_ns, case.budget_ns))


def _of_windows(case: Case, windows_ns: Sequence[int]) -> ArrivalCurve:
    grid = Staircase.of_windows(windows_ns, [max_arrivals(case.arrival_ns, each) for each in windows_ns])
    return grid.refined().refined()


KNOWN: dict[str, Callable[[Case], ArrivalCurve]] = {
    "whole trace": whole_trace,
    "doubling": doubling_windows,
    "for budget": budget_windows,
}


def measured(case: Case) -> Row:
    """Hold the bounds of one case against its simulations."""
    observed_ns = case.longest_delay_ns(case.replicas)
    curves = [known(case) for known in KNOWN.values()]
    bounds_ns = [delay_bound_ns(curve, case.batch_latency_ns, case.replicas) for curve in curves]
    answers = [certified_replicas(curve, case.batch_latency_ns, case.budget_ns) for curve in curves]
    certified = [None if isinstance(answer, Uncertified) else answer for answer in answers]
    return Row(
        budget=case.budget_ns / case.longest_ns,
        bound_ratios=tuple(each / observed_ns for each in bounds_ns),
        certified=tuple(certified),
        least=None if certified[0] is None else case.least_replicas(certified[0]),
        violations=tuple(
            (observed_ns > bound_ns) + case.late_with(replicas)
            for bound_ns, replicas in zip(bounds_ns, certified, strict=True)
        ),
    )


def bounded(rows: Sequence[Row]) -> Iterator[dict[str, object]]:
    """Yield bound over observed maximum."""
    for place, name in enumerate(KNOWN):
        ratios = [row.bound_ratios[place] for row in rows]
        yield {
            "known": name,
            "stations": len(rows),
            "violations": sum(row.violations[place] for row in rows),
            "no bound": ratios.count(math.inf),
            **_spread([ratio for ratio in ratios if ratio < math.inf]),
        }


def sized(rows: Sequence[Row]) -> Iterator[dict[str, object]]:
    """Yield certified over least replicas, by the length of the budget."""
    for low, high in (*BUDGETS, *((BUDGETS[first][0], BUDGETS[-1][1]) for first in (1, 0))):
        for place, name in enumerate(KNOWN):
            ratios = [row.ratio(place) for row in rows if low <= row.budget < high]
            certified = [ratio for ratio in ratios if ratio < math.inf]
            yield {
                "D / L*": f"{low:g} to {high:g}",
                "known": name,
                "stations": len(ratios),
                "none": len(ratios) - len(certified),
                **_spread(certified),
                "least": f"{sum(ratio == 1 for ratio in certified) / max(1, len(certified)):.0%}",
            }


def _spread(values: Sequence[float]) -> dict[str, object]:
    if not values:
        return {"median": None, "p90": None, "max": None}
    return {
        "median": round(float(np.median(values)), 3),
        "p90": round(float(np.quantile(values, 0.9)), 3),
        "max": round(max(values), 2),
    }


def fed() -> Iterator[dict[str, object]]:
    """Yield nanoseconds per arrival of the online curve."""
    windows_ns = envelope_windows_ns(10 * MS)
    for rate, cv2 in ((100, 1.0), (1000, 4.0)):
        arrival_ns = gamma_trace(rate=rate, cv2=cv2, queries=500_000, seed=1).arrival_ns
        one_by_one = arrival_ns[:200_000].tolist()

        def bulk(arrival_ns: Instants = arrival_ns) -> None:
            curve = OnlineCurve(windows_ns)
            for begin in range(0, arrival_ns.size, 10_000):
                curve.extend(arrival_ns[begin : begin + 10_000])

        def single(one_by_one: list[int] = one_by_one) -> None:
            curve = OnlineCurve(windows_ns)
            for arrival in one_by_one:
                curve.add(arrival)
            curve.max_arrivals()

        full = OnlineCurve(windows_ns)
        full.extend(arrival_ns)
        yield {
            "queries/s": rate,
            "cv2": cv2,
            "windows": len(windows_ns),
            "in bulk, ns": round(_least_s(bulk) * 1e9 / arrival_ns.size, 1),
            "one by one, ns": round(_least_s(single) * 1e9 / len(one_by_one), 1),
            "a look, us": round(_least_s(lambda full=full: [full.max_arrivals() for _ in range(1000)]) * 1e3, 1),
        }


def _least_s(work: Callable[[], object]) -> float:
    """Return the least processor time of several runs; the first may load the compiled code and does not count."""
    times = []
    for _ in range(6):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times[1:])


def show(title: str, note: str, rows: Sequence[dict[str, object]], console: Console) -> None:
    """Print a table."""
    table = Table(title=title, caption=note, title_justify="left", caption_justify="left")
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int | float) else str(value) for value in row.values()))
    console.print(table, "")


def main() -> None:
    """Measure everything and print it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--stations", type=int, default=3000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--format", choices=["table", "json"], default="table")
    chosen = options.parse_args()
    console = Console(stderr=chosen.format == "json")
    found = [measured(random_case(number, chosen.seed)) for number in range(chosen.stations)]
    sections = (
        ("Bound over longest simulated delay", "Target: no violation.", list(bounded(found))),
        (
            "Certified replicas over the least that keep the longest simulated delay within the budget D",
            f"L* is the longest service time of a batch; least: share where the two are equal. "
            f"Target: at most {TARGET_RATIO} in the median for D from 2 L* on.",
            list(sized(found)),
        ),
        ("Keeping the curve up", f"Per arrival. Target: below {TARGET_NS} ns in bulk.", list(fed())),
    )
    for title, note, rows in sections:
        show(title, note, rows, console)
    if chosen.format == "json":
        tables = {title: rows for title, _, rows in sections}
        print(json.dumps({"tables": tables, "rows": [asdict(row) for row in found]}, indent=2))
    if any(sum(row.violations) for row in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
