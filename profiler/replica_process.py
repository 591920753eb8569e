"""The process of a replica, seen from inside.

It reads an order (JSON, on standard input), goes to its cores and dies with its parent from then on. Then it either
becomes a foreign container (``command``), or loads a model (``entry``) and serves it as any replica does, reporting
to a descriptor (first argument) in JSON lines: ``loaded`` (with the device), ``batch`` (size, seconds of the model
alone, and seconds that it was called again for; after its answer was sent), ``failed``.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving_adapter.models import Model

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_LONGEST = 2000

_AGAIN_BELOW_S = 0.05
"""A batch that takes longer than this is not slower for the pause before it, as far as can be measured."""


def main() -> None:
    """Run the process; it ends by being ended, or with exit code 1 after a failure."""
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    order = json.loads(sys.stdin.buffer.read())
    _die_with_parent(order["parent"])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, order["cores"])

    def report(**what: Any) -> None:  # noqa: ANN401 - JSON values
        os.write(descriptor, json.dumps(what).encode() + b"\n")

    if order["command"] is None:
        _serve(order, report)
    else:
        _become(order, report)


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before
            sys.exit(1)


def _become(order: Mapping[str, Any], report: Callable[..., None]) -> None:
    command = order["command"]
    try:
        os.chdir(order["folder"])
        os.execvp(command[0], command)
    except OSError as error:
        message = f"cannot start {command[0]!r}: {error.strerror or error}"
        report(report="failed", kind="input", faults=[{**order["where"], "message": message}])
        sys.exit(1)


def _serve(order: Mapping[str, Any], report: Callable[..., None]) -> None:
    # Numerical libraries count the cores when they are loaded: these imports have to wait until the cores are set.
    import msgspec  # noqa: PLC0415

    from serving_adapter.models import ModelEntry, load_model  # noqa: PLC0415
    from serving_adapter.rpc.container import Container  # noqa: PLC0415

    try:
        entry = msgspec.convert(order["entry"], ModelEntry, dec_hook=lambda kind, value: kind(value))
        model = load_model(entry, order["threads"])
        report(report="loaded", device=_device(model))
        timed = _Timed(model, again=entry.kind != "http")  # whoever else is asked is asked once
        Container(
            model=timed,
            name=entry.name,
            version="1",
            input_type=entry.input_type,
            address=order["address"],
            observe=lambda size, _: report(report="batch", size=size, latency_s=timed.alone_s, again_s=timed.again_s),
        ).serve()
    except Exception as error:  # whatever a model raises
        report(report="failed", **_failure(error))
        traceback.print_exc()
        sys.exit(1)


class _Timed:
    """A model and the time that it alone takes.

    Between two batches there is a pause, after which caches are cold and the core may sleep: some ten per cent of a
    short batch, and no time of the model's. A short batch is therefore predicted twice in a row, the second time by
    the clock. The hop, less the second time, has all of what the pause costs.
    """

    def __init__(self, model: Model, *, again: bool) -> None:
        self.alone_s = self.again_s = 0.0
        self._model = model
        self._again = again

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Predict, and keep the times."""
        start_s = perf_counter()
        outputs = self._model.predict(inputs)
        first_s = perf_counter()
        self.alone_s, self.again_s = first_s - start_s, 0.0
        if self._again and self.alone_s < _AGAIN_BELOW_S:
            self._model.predict(inputs)
            self.alone_s = self.again_s = perf_counter() - first_s
        return outputs


def _device(model: object) -> str:
    """Return where a model runs, as far as it says: ``cuda:0``, ``CPUExecutionProvider``."""
    providers = getattr(getattr(model, "session", None), "get_providers", None)
    if providers is not None:
        return str(providers()[0])
    return str(getattr(model, "device", ""))


def _failure(error: Exception) -> dict[str, Any]:
    from inferline.errors import InputError, OutsideError  # noqa: PLC0415 - as above
    from serving_adapter.models.devices import is_memory_error  # noqa: PLC0415 - as above
    from serving_adapter.rpc.container import OutputError  # noqa: PLC0415 - as above

    if isinstance(error, InputError):
        faults = [{"file": each.file, "where": each.where, "message": each.message} for each in error.faults]
        return {"kind": "input", "faults": faults}
    if isinstance(error, OutsideError | OutputError):
        return {"kind": "outside", "message": str(error)[:_LONGEST]}
    said = " ".join(str(error).split())[:_LONGEST]
    name = type(error).__name__
    if is_memory_error(error):
        return {"kind": "memory", "message": f"{name}: {said}" if said else name}
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}, line {frame.lineno}"
    return {"kind": "outside", "message": f"raised {name}{': ' if said else ''}{said} ({place})"}
