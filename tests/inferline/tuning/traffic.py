"""Traffic from a process of its own: what it costs grows with no backlog, and it says how late it was itself.

A client in the process of the test would be a part of what is tested: the time that a query takes of it grows with
the square of its connections, so that a backlog of some hundred queries is one that it never leaves behind.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from inferline.domain import Trace
from inferline.units import NANO
from serving_adapter.load import ExpectedOutputs, LoadSpec, Outcome, run

PROJECT = Path(__file__).parents[3]
TIMEOUT_S = 30.0
MOST_LAG_S = 0.1
"""A client that sends 99 of 100 queries later than this has not sent what it was told to."""


class Traffic:
    """Queries at even intervals, by (seconds, queries/s), sent whether the ones before are answered or not.

    The input is 3. The end of the block waits for the replies; `stop` has no more be sent.
    """

    def __init__(self, url: str, answer: int, *parts: tuple[float, float]) -> None:
        said = json.dumps({"url": url, "answer": answer, "parts": parts})
        command = [sys.executable, "-m", "tests.inferline.tuning.traffic", said]
        self._process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._stopped = False
        self.began_s = float(self._process.stdout.readline()) / NANO

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self.stop()
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            found = json.loads(stdout.read())
        assert self._process.wait(TIMEOUT_S) == 0
        self.at_s, self.lag_s, self.latency_s = (np.array(each, dtype=float) for each in found)

    def stop(self) -> None:
        if not self._stopped:
            self._process.send_signal(signal.SIGINT)
        self._stopped = True

    @property
    def time_s(self) -> float:
        """Time since the beginning."""
        return time.monotonic() - self.began_s

    def between(self, first_s: float, end_s: float) -> np.ndarray:
        """Return the places of the queries of a time."""
        return np.flatnonzero((first_s <= self.at_s) & (self.at_s < end_s))

    def late(self, first_s: float, end_s: float, latency_s: float) -> float:
        """Return the share of the queries of a time that were late, or not answered."""
        found = self.latency_s[self.between(first_s, end_s)]
        return float(np.mean(~(found <= latency_s)))

    def kept_up(self, first_s: float, end_s: float) -> bool:
        """Whether 99 of 100 queries of a time left when they were to."""
        return bool(np.quantile(self.lag_s[self.between(first_s, end_s)], 0.99) <= MOST_LAG_S)


def main(url: str, answer: int, parts: list[tuple[float, float]]) -> None:
    """Send, and print the start, and then each query's instant, delay in sending, and latency where it is right."""
    at_s = [
        sum(each[0] for each in parts[:place]) + number / rate
        for place, (seconds, rate) in enumerate(parts)
        for number in range(int(seconds * rate))
    ]
    arrival_ns = np.round(np.array(at_s) * NANO).astype(np.int64)
    said = []

    def begun(progress):
        if not said:
            said.append(time.monotonic_ns() - round(progress.elapsed_s * NANO))
            sys.stdout.write(f"{said[0]}\n")
            sys.stdout.flush()

    spec = LoadSpec(
        url=url,
        bodies=[b'{"input": 3}'],
        traffic=Trace(arrival_ns=arrival_ns, duration_ns=round(sum(each[0] for each in parts) * NANO)),
        timeout_ns=round(TIMEOUT_S * NANO),
        connections=4096,  # a backlog is no reason to send late
        check=ExpectedOutputs((answer,)),
    )
    records = run(spec, begun).records
    right = (records.outcome == Outcome.OK) & ~records.default
    latency_s = [float(each) if fine else None for each, fine in zip(records.latency_ns / NANO, right, strict=True)]
    lag_s = (np.where(records.sent_ns < 0, records.done_ns, records.sent_ns) - records.intended_ns) / NANO
    sys.stdout.write(json.dumps([(records.intended_ns / NANO).tolist(), lag_s.tolist(), latency_s]))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
