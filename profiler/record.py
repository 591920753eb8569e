"""What is written while measuring: rows, environments and raw samples; rewritten whole, so that no end loses them."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from inferline.errors import Fault, InputError
from inferline.files import ProfileTable, read_profile_table, write_profiles
from inferline.files.contents import read_bytes, utf8, write_bytes
from inferline.files.documents.json_document import parse_json
from profiler.lines import CLOSED, Cells, Key, cells_of, lines_of, table_of
from profiler.results import Measurement, Row, Samples, Target

__all__ = ["Done", "Record", "samples_path"]

_MAX_ENVIRONMENTS_BYTES = 16 * 2**20
_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Done:
    """What an earlier run measured of a target.

    Parameters
    ----------
    sizes
        Batch sizes that were measured to the end, in the same environment.
    finished
        Whether no larger one remains.
    """

    sizes: frozenset[int]
    finished: bool


def samples_path(out: Path, model: str, hardware: str, batch_size: int) -> Path:
    """Return where the raw samples of a row are kept: beside the profile file, under a name that any system takes.

    Examples
    --------
    >>> samples_path(Path("out/profiles.csv"), "a/b", "cpu-1", 8).as_posix()
    'out/profiles.samples/a_b-cpu-1-8.parquet'
    """
    safe = [re.sub(r"[^A-Za-z0-9._-]", "_", name)[:80] for name in (model, hardware)]
    return out.with_name(f"{out.stem}.samples") / f"{safe[0]}-{safe[1]}-{batch_size}.parquet"


class Record:
    """The files of one run of the profiler.

    Rows of other (model, hardware) than those that are measured stay as they are. Those of a measured one are
    replaced when its first new row is there, so that a model that breaks at once does not take its old profile along.
    The profile file is rewritten, in one step, when a row is closed and otherwise at most once a second.

    Parameters
    ----------
    out
        The profile file; what is beside it takes its name.
    say
        Told what the user should know, once.
    clock
        Monotonic seconds.

    Attributes
    ----------
    measured
        Rows of this run by (model, hardware) and batch size.
    environments
        Environment records by id; ``ended`` in one says why no larger batch of a model on a hardware was tried.

    Raises
    ------
    InputError
        When there is a file of that name and it is no profile file, or no folder to put one into.
    """

    def __init__(self, out: Path, say: Callable[[str], None], clock: Callable[[], float] = monotonic) -> None:
        if not out.parent.is_dir():
            raise InputError(Fault(str(out), "", "cannot be written: there is no such folder"))
        self.out = out
        self.environments_path = out.with_name(f"{out.stem}.environments.json")
        self.measured: dict[Key, dict[int, Row]] = {}
        self.environments = _read_environments(self.environments_path)
        self._lines: dict[Key, dict[int, Cells]] = lines_of(read_profile_table(out)) if out.exists() else {}
        self._resumed: dict[Key, str] = {}
        self._say = say
        self._clock = clock
        self._written_s = -math.inf
        self._changed = False
        self._keeps_samples = True
        self._last: Measurement | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of this run."""
        return tuple(row for rows in self.measured.values() for _, row in sorted(rows.items()))

    def table(self, keys: Collection[Key]) -> ProfileTable:
        """Return the rows of these (model, hardware) as they stand in the file, with those of earlier runs."""
        return table_of({key: self._lines[key] for key in keys if key in self._lines})

    def done(self, target: Target, environment: str, colocated: int = 1) -> Done:
        """Return what is measured of a target already, in the environment of that id.

        With ``colocated`` replicas a row counts only when it was measured beside as many.
        """
        model, hardware = key = _key(target)
        lines = self._lines.get(key, {})
        mine = {size: cells for size, cells in lines.items() if cells.get("source") == environment}
        sizes = frozenset(
            size
            for size, cells in mine.items()
            if cells.get("stopped") in CLOSED and (colocated == 1 or str(cells.get("colocated")) == str(colocated))
        )
        ended = self.environments.get(environment, {}).get("ended", {}).get(model, {}).get(hardware, {})
        finished = bool(ended) and bool(sizes) and len(sizes) == len(mine)
        cap = ended.get("max_batch")
        if finished and ended.get("why") == "max_batch" and cap is not None:
            finished = target.max_batch is not None and target.max_batch <= cap
        return Done(sizes, finished)

    def resume(self, target: Target, environment: str) -> None:
        """Keep the rows of a target from the environment of that id until they are measured again."""
        self._resumed[_key(target)] = environment

    def observe(self, measurement: Measurement) -> None:
        """Take over what is measured, and write it when it is time.

        Raises
        ------
        InputError
            When it cannot be written.
        """
        key = _key(measurement.target)
        if not measurement.rows and key not in self._resumed:
            return
        self._last = measurement
        if key not in self.measured:
            self._begin(key)
        closed = False
        for row in measurement.rows:
            before = self.measured[key].get(row.batch_size)
            if row == before:
                continue
            self._changed = True
            self.measured[key][row.batch_size] = row
            self._lines[key][row.batch_size] = cells_of(row)
            if row.stopped in CLOSED and (before is None or before.stopped not in CLOSED):
                closed = True
                self._write_samples(row, measurement.samples.get(row.batch_size))
        self._note_environment(measurement)
        if measurement.finished:
            self._end(measurement)
        if measurement.finished:
            self.close()
        elif closed or self._clock() - self._written_s >= _EVERY_S:
            self.flush()

    def close(self) -> None:
        """Write what is left, however the measuring came to its end; also the samples of rows that are unfinished.

        Raises
        ------
        InputError
            When it cannot be written.
        """
        for row in self._last.rows if self._last is not None else ():
            if self._last is not None and row.stopped not in CLOSED:
                self._write_samples(row, self._last.samples.get(row.batch_size))
        self._last = None
        self.flush()

    def flush(self) -> None:
        """Write what has changed since the last time.

        Raises
        ------
        InputError
            When it cannot be written.
        """
        if not self._changed:
            return
        # The environments first: no row ever stands in the file whose source nobody knows.
        text = json.dumps(self.environments, indent=2, ensure_ascii=False, default=str)
        write_bytes(self.environments_path, f"{text}\n".encode())
        write_profiles(self.out, table_of(self._lines))
        self._changed = False
        self._written_s = self._clock()

    def _begin(self, key: Key) -> None:
        """Make room for the first new row: the old ones go, unless this run goes on where they end."""
        self.measured[key] = {}
        if key in self._resumed:
            old = self._lines.get(key, {})
            mine = {size: cells for size, cells in old.items() if cells.get("source") == self._resumed[key]}
            self._changed |= len(mine) < len(old)
            self._lines[key] = mine
            return
        for size in self._lines.get(key, {}):
            samples_path(self.out, *key, size).unlink(missing_ok=True)
        self._lines[key] = {}
        for record in self.environments.values():
            record.get("ended", {}).get(key[0], {}).pop(key[1], None)

    def _end(self, measurement: Measurement) -> None:
        """Leave out what an earlier run had begun and this one did not come to."""
        key = _key(measurement.target)
        lines, new = self._lines[key], self.measured[key]
        for size in [size for size, cells in lines.items() if size not in new and cells.get("stopped") not in CLOSED]:
            del lines[size]
            self._changed = True

    def _note_environment(self, measurement: Measurement) -> None:
        identity = str(measurement.environment.get("id", ""))
        if not identity:
            return
        before = self.environments.get(identity, {})
        record = {**measurement.environment, "ended": before.get("ended", {})}
        if measurement.finished and measurement.ended:
            model, hardware = _key(measurement.target)
            why = {"why": measurement.ended, "max_batch": measurement.target.max_batch}
            record["ended"] = {**record["ended"], model: {**record["ended"].get(model, {}), hardware: why}}
        if record != before:
            self.environments[identity] = record
            self._changed = True

    def _write_samples(self, row: Row, samples: Samples | None) -> None:
        if samples is None or not self._keeps_samples:
            return
        try:
            data = _parquet(row, samples)
        except ImportError:
            self._keeps_samples = False
            self._say("raw samples are not kept: pip install 'inferline[parquet]'")
            return
        path = samples_path(self.out, row.model, row.hardware, row.batch_size)
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(Fault(str(path.parent), "", f"cannot be made: {error.strerror or error}")) from error
        write_bytes(path, data)


def _key(target: Target) -> Key:
    return target.entry.name, target.hardware.name


def _parquet(row: Row, samples: Samples) -> bytes:
    import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 - optional; ships no types
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # noqa: PLC0415 - optional; ships no types

    columns = {name: getattr(samples, name) for name in ("at_s", "latency_s", "hop_s", "counted")}
    about = {"model": row.model, "hardware": row.hardware, "batch_size": str(row.batch_size), "source": row.source}
    stream = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata(about), stream)
    return stream.getvalue()


def _read_environments(path: Path) -> dict[str, dict[str, Any]]:
    """Return the environment records of a file, or none when there is no file.

    Raises
    ------
    InputError
        When it is no mapping of records.
    """
    if not path.exists():
        return {}
    document = parse_json(str(path), utf8(str(path), read_bytes(path, _MAX_ENVIRONMENTS_BYTES)))
    if not isinstance(document, Mapping) or not all(map(_is_record, document.values())):
        raise InputError(Fault(str(path), "", "is no file of environments; move it away"))
    return {identity: dict(record) for identity, record in document.items()}


def _is_record(record: object) -> bool:
    """Whether this is an environment record as far as it is read here."""
    ended = record.get("ended", {}) if isinstance(record, Mapping) else None
    return isinstance(ended, Mapping) and all(
        isinstance(of, Mapping) and all(isinstance(why, Mapping) for why in of.values()) for of in ended.values()
    )
