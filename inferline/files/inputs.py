"""Everything that planning and simulating start from, read in one go: pipeline file, profiles, trace."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from inferline.domain import Pipeline, Profile, Trace
from inferline.domain.arrivals import PerSecondCounts
from inferline.errors import Fault, InputError
from inferline.files.contents import read_bytes
from inferline.files.faults import attempt
from inferline.files.limits import MAX_TRACE_BYTES
from inferline.files.pipeline_file.coverage import check_conditions, check_coverage, declared_space
from inferline.files.pipeline_file.pipeline import PipelineDraft, draft_pipeline
from inferline.files.pipeline_file.workload import Workload, generated, prepared, spread
from inferline.files.profile_file.profiles import Key, ProfileTable, read_profile_table
from inferline.files.trace_file.traces import parse_trace

__all__ = ["Inputs", "load"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Inputs that fit together.

    Parameters
    ----------
    pipeline
        The pipeline; each stage allows only hardware on which its model has a profile with a batch size within the
        stage's cap.
    table
        Every row of the profile files, with the columns that planning has no use for.
    trace
        What is planned from: scaled, spread and cut as the workload says.
    models
        How to run each model, as it stands in the pipeline file.
    digests
        ``pipeline_sha256``, ``profiles_sha256`` and ``trace_sha256``. The last one is of the trace file's bytes, or
        of the generated arrivals as little-endian int64, before scaling and cutting.
    """

    pipeline: Pipeline
    table: ProfileTable
    trace: Trace
    models: Mapping[str, Mapping[str, Any]]
    digests: Mapping[str, str]

    @property
    def profiles(self) -> Mapping[Key, Profile]:
        """Every profile of the files by (model, hardware)."""
        return self.table.profiles


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A trace before the workload is applied; ``file`` is what to name when it is at fault."""

    trace: Trace | PerSecondCounts
    sha256: str
    file: str


def load(path: str | os.PathLike[str], *, trace: str | os.PathLike[str] | None = None, whole: bool = False) -> Inputs:
    """Read a pipeline file with its profiles and its trace.

    Parameters
    ----------
    path
        The pipeline file.
    trace
        A trace instead of the workload's; it is spread if need be, but neither scaled nor cut.
    whole
        Keep the whole duration of the workload's trace instead of its sample.

    Raises
    ------
    InputError
        With every fault of all files, and of how they fit together.
    """
    faults: list[Fault] = []
    draft = attempt(faults, partial(draft_pipeline, path))
    if draft is None:
        if trace is not None:
            attempt(faults, partial(_read_source, Path(trace)))
        raise InputError(*faults)
    later: list[Fault] = []  # of the other files, after those of the pipeline file
    table = attempt(later, partial(read_profile_table, draft.profile_paths)) if draft.profile_paths else None
    ready = _trace(draft, None if trace is None else Path(trace), later, whole=whole)
    later = _kept(draft, later)
    check_conditions(draft.outline, draft.faults)
    if table is not None and not draft.profiles_are_faulty:
        check_coverage(draft.outline, table.profiles, draft.faults)
    faults = [*draft.faults.in_order(), *later]
    if faults or table is None or ready is None:
        raise InputError(*dict.fromkeys(faults))  # one file may be named in two places
    return _inputs(draft, table, *ready)


def _kept(draft: PipelineDraft, faults: list[Fault]) -> list[Fault]:
    """Put what the workload asks for in vain among the other faults of the pipeline file; return the rest."""
    own = [fault for fault in faults if fault.file == draft.faults.file]
    for fault in own:
        draft.faults.add(tuple(fault.where.split(".")), fault.message)
    return [fault for fault in faults if fault not in own]


def _inputs(draft: PipelineDraft, table: ProfileTable, trace: Trace, trace_sha256: str) -> Inputs:
    file = draft.finished()
    digests = {"pipeline_sha256": file.sha256, "profiles_sha256": table.sha256, "trace_sha256": trace_sha256}
    return Inputs(
        pipeline=declared_space(file.pipeline, table.profiles),
        table=table,
        trace=trace,
        models=file.models,
        digests=digests,
    )


def _trace(draft: PipelineDraft, given: Path | None, faults: list[Fault], *, whole: bool) -> tuple[Trace, str] | None:
    """Return the trace to plan from and the digest of its source, or None after noting what is wrong."""
    workload = draft.workload
    if given is not None:
        source = attempt(faults, partial(_read_source, given))
        if source is None:
            return None
        ready = attempt(faults, partial(spread, source.trace, workload or Workload(), source.file))
    else:
        source = attempt(faults, partial(_own_source, draft, workload))
        if source is None or workload is None:
            return None
        ready = attempt(
            faults, partial(prepared, source.trace, workload, draft.faults.file, source.file, whole=whole)
        )
    return None if ready is None else (ready, source.sha256)


def _read_source(path: Path) -> _Source:
    data = read_bytes(path, MAX_TRACE_BYTES)
    file = os.fspath(path)
    return _Source(trace=parse_trace(file, data), sha256=hashlib.sha256(data).hexdigest(), file=file)


def _own_source(draft: PipelineDraft, workload: Workload | None) -> _Source | None:
    """Return the workload's own trace; a trace file is read even when another part of the workload is wrong."""
    if workload is not None and workload.generate is not None:
        arrivals = generated(workload.generate, draft.faults.file)
        digest = hashlib.sha256(arrivals.arrival_ns.astype("<i8").tobytes()).hexdigest()
        return _Source(trace=arrivals, sha256=digest, file=draft.faults.file)
    path = workload.trace if workload is not None else draft.trace_path
    return None if path is None else _read_source(path)
