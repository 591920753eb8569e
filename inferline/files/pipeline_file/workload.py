"""The traffic that a pipeline is planned for: where it comes from, how it is scaled, which part is planned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inferline.domain import Trace
from inferline.domain.arrivals import PerSecondCounts, generate
from inferline.errors import Fault, InputError
from inferline.files.limits import MAX_QUERIES, MAX_RATE_QPS
from inferline.files.pipeline_file.generators import parameter_keys
from inferline.files.pipeline_file.pipeline_structure import GenerateDocument, WorkloadDocument
from inferline.units import MAX_TIME_NS

__all__ = ["DEFAULT_CV2", "Generate", "Workload", "generated", "prepared", "spread"]

DEFAULT_CV2 = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """An arrival process, instead of a trace.

    Parameters
    ----------
    arrivals
        Name of the process; one of `inferline.domain.arrivals.GENERATORS`.
    duration_ns
        Length of the trace.
    seed
        Seed of the draws.
    parameters
        The parameters of that process, by their names in the domain.
    """

    arrivals: str
    duration_ns: int
    seed: int
    parameters: Mapping[str, float | tuple[float, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The ``workload`` of a pipeline file.

    Parameters
    ----------
    trace
        File of arrivals; None when they are generated.
    generate
        Arrival process; None when there is a trace.
    peak
        Queries in the busiest second after scaling; None for no such scaling.
    scale
        Factor by which the traffic is scaled; None for no such scaling.
    sample
        First part of the duration that is planned from, in (0, 1].
    spread
        How the queries of a per-second trace are spread in each second: ``poisson``, ``gamma`` or ``even``.
    cv2
        Squared coefficient of variation of the gaps for ``gamma``.
    seed
        Seed of the spreading.
    """

    trace: Path | None = None
    generate: Generate | None = None
    peak: float | None = None
    scale: float | None = None
    sample: float = 1.0
    spread: str = "poisson"
    cv2: float = DEFAULT_CV2
    seed: int = 0

    @classmethod
    def from_document(cls, document: WorkloadDocument, folder: Path) -> Workload:
        """Return the workload that a valid document describes; its files are relative to ``folder``."""
        return cls(
            trace=None if document.trace is None else folder / document.trace,
            generate=None if document.generate is None else _generate(document.generate),
            peak=document.peak,
            scale=document.scale,
            sample=document.sample,
            spread=document.spread,
            cv2=DEFAULT_CV2 if document.cv2 is None else document.cv2,
            seed=document.seed,
        )


def _generate(document: GenerateDocument) -> Generate:
    parameters: dict[str, float | tuple[float, ...]] = {}
    for key, name in parameter_keys(document.arrivals).items():
        value = getattr(document, key)
        if value is not None:
            parameters[name] = tuple(value) if isinstance(value, list) else value
    return Generate(
        arrivals=document.arrivals,
        duration_ns=document.duration,
        seed=document.seed,
        parameters=parameters,
    )


def generated(process: Generate, file: str) -> Trace:
    """Return the arrivals of a process.

    Raises
    ------
    InputError
        When the process makes no query, at ``workload.generate`` of ``file``.
    """
    try:
        return generate(
            process.arrivals, duration_ns=process.duration_ns, seed=process.seed, **dict(process.parameters)
        )
    except ValueError as error:
        raise InputError(Fault(file, "workload.generate", f"makes no trace: {error}")) from error


def spread(source: Trace | PerSecondCounts, workload: Workload, file: str, where: str = "") -> Trace:
    """Return the arrivals of a trace; the queries of a per-second trace are spread in each second.

    Raises
    ------
    InputError
        When there are more than can be planned from; at ``where`` of ``file``.
    """
    if isinstance(source, Trace):
        queries, busiest = len(source), source.peak_qps()
    else:
        queries, busiest = source.total, source.peak
    _check_size(queries, busiest, file, where)
    if isinstance(source, Trace):
        return source
    return source.spread(workload.spread, seed=workload.seed, cv2=workload.cv2)


def _check_size(queries: float, busiest: float, file: str, where: str) -> None:
    if busiest > MAX_RATE_QPS:
        message = f"{busiest:.6g} queries in the busiest second are too many; at most {MAX_RATE_QPS} are accepted"
        raise InputError(Fault(file, where, message))
    if queries > MAX_QUERIES:
        message = f"{queries:.6g} queries in the trace are too many; at most {MAX_QUERIES} are accepted"
        raise InputError(Fault(file, where, message))


def prepared(
    source: Trace | PerSecondCounts, workload: Workload, file: str, source_file: str, *, whole: bool = False
) -> Trace:
    """Return the part of a source that is planned from: scaled, spread, cut.

    Parameters
    ----------
    source
        The whole trace as it was read or generated.
    workload
        Says how.
    file
        The pipeline file, named when its ``workload`` asks for what cannot be.
    source_file
        The file of the source, named when the source itself is too large.
    whole
        Keep the whole duration instead of the sample.

    Raises
    ------
    InputError
        When the scaled trace is too large, too long or empty, or the sample is empty.
    """
    if workload.peak is None and workload.scale is None:
        trace = spread(source, workload, source_file)
    else:
        trace = _scaled(source, workload, file)
    try:
        return trace if whole else trace.first(workload.sample)
    except ValueError as error:
        message = f"the first {workload.sample:.6g} of the trace's duration holds no query; take a larger share"
        raise InputError(Fault(file, "workload.sample", message)) from error


def _scaled(source: Trace | PerSecondCounts, workload: Workload, file: str) -> Trace:
    busiest = source.peak if isinstance(source, PerSecondCounts) else source.peak_qps()
    if workload.peak is not None:
        where, factor = "workload.peak", workload.peak / busiest
    else:
        where, factor = "workload.scale", workload.scale or 1.0
    # Judged before scaling: the product need not fit in 64 bits, nor in memory.
    if isinstance(source, PerSecondCounts):
        _check_size(source.total * factor, busiest * factor, file, where)
    elif factor == 0 or max(source.duration_ns, 1) / factor >= MAX_TIME_NS:
        raise InputError(Fault(file, where, "stretches the trace beyond 146 years (2**62 ns)"))
    try:
        scaled: Trace | PerSecondCounts = source.scaled(factor)
    except ValueError as error:
        raise InputError(Fault(file, where, "scales every second of the trace down to no query")) from error
    return spread(scaled, workload, file, where)
