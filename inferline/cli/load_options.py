"""The options of ``inferline load``: what they ask for, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferline.domain import PerSecondCounts, Trace, generate
from inferline.errors import Fault, InputError
from inferline.files import read_trace
from inferline.units import NANO
from serving_adapter.load import (
    CONNECTIONS,
    ClosedLoop,
    ExpectedOutputs,
    LoadSpec,
    as_input,
    bodies,
    check_per_query,
    made_up_inputs,
    parse_target,
    read_lines,
)

__all__ = ["ARRIVALS", "CLOSED_CONNECTIONS", "Asked", "spec_of"]

ARRIVALS = ("poisson", "gamma", "even")
CLOSED_CONNECTIONS = 16

_DEFAULT_CV2 = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options, as they are named; durations in seconds."""

    url: str
    trace: Path | None
    arrivals: str | None
    rate: float | None
    duration_s: float | None
    cv2: float | None
    speed_up: float
    closed: bool
    inputs: Path | None
    input_type: str | None
    shape: tuple[int, ...] | None
    distinct: int
    body_key: str
    check: Path | None
    processes: int
    connections: int | None
    timeout_s: float
    seed: int
    slo_s: float | None
    lag_bound_s: float | None
    out: Path | None
    form: str


def spec_of(asked: Asked) -> LoadSpec:
    """Return what to send.

    Raises
    ------
    InputError
        With everything that is wrong with the options; or with a file.
    """
    parse_target(asked.url)
    if faults := [*_traffic_faults(asked), *_input_faults(asked)]:
        raise InputError(*faults)
    if asked.out is not None:
        check_per_query(asked.out)
    inputs = _inputs(asked)
    usual = CLOSED_CONNECTIONS if asked.closed else CONNECTIONS
    try:
        return LoadSpec(
            url=asked.url,
            bodies=bodies(inputs, asked.body_key),
            traffic=_traffic(asked),
            processes=asked.processes,
            connections=asked.connections or max(usual, asked.processes),
            timeout_ns=round(asked.timeout_s * NANO),
            lag_bound_ns=None if asked.lag_bound_s is None else round(asked.lag_bound_s * NANO),
            check=None if asked.check is None else _expected(asked.check, inputs),
        )
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(str(error)) from error


def _traffic_faults(asked: Asked) -> list[Fault]:
    ways = {"--trace": asked.trace is not None, "--arrivals": asked.arrivals is not None, "--closed": asked.closed}
    given = [way for way, is_given in ways.items() if is_given]
    if len(given) != 1:
        found = f"{' and '.join(given)} exclude each other" if given else "nothing says when to send"
        return [Fault("", "", f"{found}; give one of --trace, --arrivals and --closed")]
    way = given[0]
    needs = {"--trace": (), "--arrivals": ("--rate", "--duration"), "--closed": ("--duration",)}[way]
    values = {"--rate": asked.rate, "--duration": asked.duration_s, "--cv2": asked.cv2}
    faults = [Fault(option, "", f"missing; {way} needs it") for option in needs if values[option] is None]
    takes = (*needs, "--cv2") if asked.arrivals == "gamma" else needs
    faults += [
        Fault(option, "", f"means nothing with {way} {asked.arrivals or ''}".rstrip())
        for option, value in values.items()
        if value is not None and option not in takes
    ]
    if asked.closed and asked.speed_up != 1.0:
        faults.append(Fault("--speed-up", "", "means nothing with --closed"))
    return faults


def _input_faults(asked: Asked) -> list[Fault]:
    faults = []
    if (asked.inputs is None) == (asked.shape is None):
        faults.append(Fault("", "", "give either --inputs, a file, or --shape, to make inputs up"))
    if asked.check is not None and asked.inputs is None:
        faults.append(Fault("--check", "", "goes with --inputs: its lines are the outputs of theirs"))
    if asked.timeout_s <= 0:
        faults.append(Fault("--timeout", "", "is 0; a duration above 0 is accepted"))
    return faults


def _traffic(asked: Asked) -> Trace | ClosedLoop:
    duration_ns = round((asked.duration_s or 0) * NANO)
    if asked.closed:
        return ClosedLoop(duration_ns=duration_ns)
    if asked.arrivals is not None:
        parameters = {"rate": asked.rate}
        if asked.arrivals == "gamma":
            parameters["cv2"] = _DEFAULT_CV2 if asked.cv2 is None else asked.cv2
        trace = generate(asked.arrivals, duration_ns=duration_ns, seed=asked.seed, **parameters)
    else:
        read = read_trace(asked.trace or "")
        trace = read.spread(seed=asked.seed) if isinstance(read, PerSecondCounts) else read
    return trace if asked.speed_up == 1.0 else trace.scaled(asked.speed_up)


def _inputs(asked: Asked) -> list[Any]:
    if asked.inputs is None:
        return made_up_inputs(asked.input_type or "doubles", asked.shape or (), asked.distinct, asked.seed)
    if (input_type := asked.input_type) is None:
        return read_lines(asked.inputs)
    return read_lines(asked.inputs, lambda value: as_input(value, input_type))


def _expected(path: Path, inputs: Sequence[Any]) -> ExpectedOutputs:
    outputs = read_lines(path, lambda value: value)
    if len(outputs) != len(inputs):
        raise InputError(
            Fault(str(path), "", f"has {len(outputs)} outputs for {len(inputs)} inputs; one each is needed")
        )
    return ExpectedOutputs(outputs)
