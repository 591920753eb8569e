"""A replica that is measured: the container runtime that serving uses, in a process of its own, one batch at a time.

Every batch gives two times at once: that of the model alone, on the clock of the replica's process, and that of the
whole hop over the RPC, on the clock of this one.
"""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from time import monotonic
from types import TracebackType
from typing import Any

from inferline.errors import OutsideError
from profiler.child import Child
from profiler.failures import Place, ended_failure, reported_failure
from profiler.results import Limits
from serving_adapter.machine import Placement, variables
from serving_adapter.models import ModelEntry
from serving_adapter.rpc.single import SingleReplica
from serving_adapter.rpc.values import data_type_of
from serving_adapter.rpc.wire import RPC_VERSION, NewContainer, WireError

__all__ = ["Answer", "Replica", "start_replica", "to_stderr"]

_REPORT_S = 10.0
_MOMENT_S = 0.001
_CLOCK_S = 1e-9
"""What a batch takes at least, should the clock be too coarse to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The outputs of a batch, and the seconds of the model alone and of the hop; the same for foreign containers."""

    outputs: list[bytes]
    latency_s: float
    hop_s: float


def to_stderr(message: str) -> None:
    """Tell the user."""
    sys.stderr.write(f"{message}\n")


def start_replica(
    entry: ModelEntry,
    placement: Placement,
    limits: Limits,
    first: Sequence[bytes],
    tell: Callable[[str], None] = to_stderr,
) -> Replica:
    """Start a replica and have it answer its first batch.

    Parameters
    ----------
    entry
        What it runs. A ``container`` with option ``command`` (a text, or a list) is started so, as a local process
        with Clipper's environment variables; without one, whoever connects is taken.
    placement
        Where it runs.
    limits
        How long to wait for it.
    first
        Input frames of the first batch.
    tell
        Told where to connect a container that is not started here.

    Raises
    ------
    InputError
        When the entry is wrong; the faults are those of `serving_adapter.models.load_model`.
    MemoryExhausted
        When memory runs out.
    OutsideError
        When loading or the first batch fails otherwise, or takes too long.
    """
    replica = Replica(entry, placement, limits)
    try:
        replica.begin(first, tell)
    except BaseException:
        replica.close()
        raise
    return replica


class Replica:
    """A running replica; made by `start_replica`.

    Attributes
    ----------
    load_s
        Seconds from starting its process to its first answer; NaN when it was not started here.
    environment
        What it says about itself: ``device``; for foreign containers ``container``.
    """

    def __init__(self, entry: ModelEntry, placement: Placement, limits: Limits) -> None:
        self.load_s = math.nan
        self.environment: Mapping[str, Any] = {}
        self._entry = entry
        self._limits = limits
        self._foreign = entry.kind == "container"
        self._place = Place(model=entry.name, hardware=placement.hardware.name)
        self._times_s: tuple[float, float] | None = None
        self._child: Child | None = None
        with ExitStack() as stack:
            self._single = SingleReplica()
            stack.callback(self._single.close)
            self._started_s = monotonic()
            if not self._foreign or "command" in entry.options:
                names = {**variables(placement), **_clipper_variables(entry, self._single.port)}
                self._child = Child(_order(entry, placement, self._single.port), names)
                stack.callback(self._child.close)
            self._stack = stack.pop_all()

    def begin(self, first: Sequence[bytes], tell: Callable[[str], None]) -> None:
        """Wait until it has registered and answered its first batch."""
        if self._child is None:
            tell(f"waiting for a container of model {self._entry.name!r} on 127.0.0.1, port {self._single.port}")
        limit_s = self._limits.load_timeout_s
        try:
            registered = self._single.await_registration(limit_s, self._check)
        except TimeoutError as error:
            self.kill()
            raise self._place.failure(f"it did not register within {limit_s:g} s and was given up") from error
        except WireError as error:
            raise self._place.failure(f"it broke the protocol: {error}") from error
        if self._foreign:
            self.environment = {"container": f"{registered.name}:{registered.version}"}
            self._check_registration(registered)
        self.predict(first)
        if self._child is not None:
            self.load_s = monotonic() - self._started_s

    def predict(self, frames: Sequence[bytes]) -> Answer:
        """Have one batch predicted.

        Raises
        ------
        InputError, MemoryExhausted, OutsideError
            As `start_replica`; the replica is of no use any more.
        """
        self._place = replace(self._place, batch_size=len(frames))
        limit_s = self._limits.batch_timeout_s
        try:
            outputs, hop_s = self._single.predict(data_type_of(self._entry.input_type), frames, limit_s, self._check)
        except TimeoutError as error:
            self.kill()
            raise self._place.failure(f"no answer within {limit_s:g} s; it was given up") from error
        except WireError as error:
            raise self._place.failure(f"it broke the protocol: {error}") from error
        if self._foreign:
            return Answer(outputs=outputs, latency_s=hop_s, hop_s=hop_s)
        alone_s, again_s = self._reported_times()
        return Answer(outputs=outputs, latency_s=alone_s, hop_s=hop_s - again_s)

    def attend(self) -> None:
        """Answer the heartbeats that have come: an idle container that hears nothing for 30 s starts all over."""
        try:
            self._single.await_registration(_MOMENT_S, self._check)
        except TimeoutError:
            return

    def kill(self) -> None:
        """End its process; a batch that another thread waits for fails then."""
        if self._child is not None:
            self._child.end()

    def close(self) -> None:
        """End it."""
        self._stack.close()

    def __enter__(self) -> Replica:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _reported_times(self) -> tuple[float, float]:
        """Return the seconds of the model alone, and those that it was called again for."""
        deadline = monotonic() + _REPORT_S
        while self._times_s is None:
            if monotonic() >= deadline:
                raise self._place.failure("it answered and then did not say how long the model took")
            self._check(wait_s=0.05)
        times_s, self._times_s = self._times_s, None
        return times_s

    def _check(self, wait_s: float = 0.0) -> None:
        """Take in the reports of the process; raise when it has failed or ended."""
        if self._child is None:
            return
        exit_code = self._child.exit_code  # before its reports: the last ones count
        for report in self._child.reports(wait_s):
            match report["report"]:
                case "batch":
                    self._times_s = max(report["latency_s"], _CLOCK_S), report["again_s"]
                case "loaded":
                    self.environment = {"device": report["device"]}
                case "failed":
                    raise reported_failure(self._place, report)
        if exit_code is not None and self._times_s is None:
            raise ended_failure(self._place, exit_code, self._child.last_words())

    def _check_registration(self, registered: NewContainer) -> None:
        expected = data_type_of(self._entry.input_type)
        if registered.rpc_version != RPC_VERSION:
            raise OutsideError(f"{self._place} it speaks RPC version {registered.rpc_version}, not {RPC_VERSION}")
        if registered.data_type != expected:
            got = registered.data_type.readable
            raise self._entry.fault("input_type", f"{expected.readable}, but the container has registered for {got}")


def _order(entry: ModelEntry, placement: Placement, port: int) -> dict[str, Any]:
    """Return what the process is to do."""
    order: dict[str, Any] = {"cores": placement.cores, "threads": placement.threads}
    if entry.kind == "container":
        where = {"file": entry.file, "where": f"models.{entry.name}.command"}
        return {**order, "command": _command(entry), "folder": entry.folder, "where": where}
    # Only the replica's own accelerators are visible to it, counted from 0.
    device = "cuda" if placement.accelerators and entry.device.startswith("cuda:") else entry.device
    return {**order, "command": None, "entry": replace(entry, device=device), "address": f"tcp://127.0.0.1:{port}"}


def _command(entry: ModelEntry) -> list[str]:
    command = entry.options["command"]
    words = shlex.split(command) if isinstance(command, str) else command
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise entry.fault("command", f"{command!r} is no command; write it like [python, serve.py]")
    return words


def _clipper_variables(entry: ModelEntry, port: int) -> dict[str, str]:
    if entry.kind != "container":
        return {}
    path = entry.options.get("model_path")
    return {
        "CLIPPER_MODEL_NAME": entry.name,
        "CLIPPER_MODEL_VERSION": "1",
        "CLIPPER_IP": "127.0.0.1",
        "CLIPPER_PORT": str(port),
        "CLIPPER_INPUT_TYPE": data_type_of(entry.input_type).readable,
        **({} if path is None else {"CLIPPER_MODEL_PATH": os.fspath(entry.folder / str(path))}),
    }
