"""The configuration in one SQLite file: it survives the process, and needs nothing installed.

The file belongs to one process while that runs. Two servers on one file would number their replicas against each
other, so a second one is refused; for several processes there is Redis. SQLite's exclusive locking mode does exactly
this, and the operating system frees the lock of a process that dies.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from inferline.errors import Fault, InputError, OutsideError
from serving_adapter.state.changes import Changes
from serving_adapter.state.records import Application, ModelVersion, PipelineRecord, ReplicaRecord, Snapshot

__all__ = ["SqliteState"]

_APPLICATION_ID = 0x494E464C  # "INFL", so that another program's file is not taken for ours
_SCHEMA_VERSION = 3
_PIPELINES = """
CREATE TABLE pipelines (
    name TEXT PRIMARY KEY, document TEXT NOT NULL, plan TEXT NOT NULL, versions TEXT NOT NULL,
    deadline_micros INTEGER NOT NULL) WITHOUT ROWID;
"""
_SCHEMA = f"""
BEGIN;
CREATE TABLE applications (
    name TEXT PRIMARY KEY, input_type TEXT NOT NULL, default_output TEXT NOT NULL,
    latency_slo_micros INTEGER NOT NULL, policy TEXT NOT NULL,
    queue_order TEXT NOT NULL DEFAULT 'arrival') WITHOUT ROWID;
CREATE TABLE links (application TEXT, model TEXT, PRIMARY KEY (application, model)) WITHOUT ROWID;
CREATE TABLE models (
    name TEXT, version TEXT, input_type TEXT NOT NULL, labels TEXT NOT NULL, container_name TEXT NOT NULL,
    model_data_path TEXT NOT NULL, batch_size INTEGER NOT NULL, batching TEXT NOT NULL DEFAULT '',
    batch_wait_micros INTEGER NOT NULL DEFAULT -1, PRIMARY KEY (name, version)) WITHOUT ROWID;
CREATE TABLE current (name TEXT PRIMARY KEY, version TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE replicas (
    name TEXT, version TEXT, replica_id INTEGER, connection_id INTEGER NOT NULL, input_type TEXT NOT NULL,
    PRIMARY KEY (name, version, replica_id)) WITHOUT ROWID;
CREATE TABLE selections (
    application TEXT, uid INTEGER, state TEXT NOT NULL, PRIMARY KEY (application, uid)) WITHOUT ROWID;
{_PIPELINES}
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_SCHEMA_VERSION};
COMMIT;
"""

_FROM_VERSION_1 = """
BEGIN;
ALTER TABLE applications ADD COLUMN queue_order TEXT NOT NULL DEFAULT 'arrival';
ALTER TABLE models ADD COLUMN batching TEXT NOT NULL DEFAULT '';
ALTER TABLE models ADD COLUMN batch_wait_micros INTEGER NOT NULL DEFAULT -1;
PRAGMA user_version = 2;
COMMIT;
"""

_FROM_VERSION_2 = f"""
BEGIN;
{_PIPELINES}
PRAGMA user_version = {_SCHEMA_VERSION};
COMMIT;
"""

_Answer = TypeVar("_Answer")
_Statement = tuple[str, Sequence[object]]


class SqliteState:
    """One connection, used by one thread at a time; each write is on the disk when it returns.

    Parameters
    ----------
    path
        The file; made when it is not there.

    Raises
    ------
    InputError
        When the file is damaged, another program's, or of a later InferLine.
    OutsideError
        When it cannot be opened, or another process has it open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        self._changes = Changes()
        try:
            self._database = sqlite3.connect(path, timeout=0, check_same_thread=False)
        except sqlite3.Error as error:
            self._refuse(error)
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._database.close()
            self._refuse(error)
        except InputError:
            self._database.close()
            raise

    async def snapshot(self) -> Snapshot:
        """Return all that is kept now."""
        return await self._in_turn(self._read_snapshot)

    async def put_application(self, application: Application) -> None:
        """Keep an application."""
        a = application
        row = (a.name, a.input_type, a.default_output, a.latency_slo_micros, a.policy, a.queue_order)
        await self._write(("REPLACE INTO applications VALUES (?, ?, ?, ?, ?, ?)", row))

    async def delete_application(self, name: str) -> None:
        """Forget an application, its links and the selection states of its users."""
        await self._write(
            ("DELETE FROM applications WHERE name = ?", (name,)),
            ("DELETE FROM links WHERE application = ?", (name,)),
            ("DELETE FROM selections WHERE application = ?", (name,)),
        )

    async def put_model(self, model: ModelVersion) -> None:
        """Keep a version of a model."""
        m = model
        labels = ",".join(m.labels)
        described = (m.name, m.version, m.input_type, labels, m.container_name, m.model_data_path)
        row = (*described, m.batch_size, m.batching, m.batch_wait_micros)
        await self._write(("REPLACE INTO models VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row))

    async def delete_model(self, name: str, version: str) -> None:
        """Forget a version of a model."""
        await self._write(("DELETE FROM models WHERE name = ? AND version = ?", (name, version)))

    async def set_current(self, name: str, version: str) -> None:
        """Make that version the current one of the model."""
        await self._write(("REPLACE INTO current VALUES (?, ?)", (name, version)))

    async def add_links(self, application: str, models: Collection[str]) -> None:
        """Link models to an application, beside those that are."""
        await self._write(*(("REPLACE INTO links VALUES (?, ?)", (application, model)) for model in models))

    async def remove_links(self, application: str, models: Collection[str]) -> None:
        """Take links of an application away."""
        delete = "DELETE FROM links WHERE application = ? AND model = ?"
        await self._write(*((delete, (application, model)) for model in models))

    async def put_pipeline(self, pipeline: PipelineRecord) -> None:
        """Keep a pipeline."""
        p = pipeline
        row = (p.name, p.document, p.plan, json.dumps(dict(p.versions)), p.deadline_micros)
        await self._write(("REPLACE INTO pipelines VALUES (?, ?, ?, ?, ?)", row))

    async def delete_pipeline(self, name: str) -> None:
        """Forget a pipeline."""
        await self._write(("DELETE FROM pipelines WHERE name = ?", (name,)))

    async def put_replica(self, replica: ReplicaRecord) -> None:
        """Keep a replica."""
        r = replica
        row = (r.name, r.version, r.replica_id, r.connection_id, r.input_type)
        await self._write(("REPLACE INTO replicas VALUES (?, ?, ?, ?, ?)", row))

    async def delete_replica(self, name: str, version: str, replica_id: int) -> None:
        """Forget a replica."""
        delete = "DELETE FROM replicas WHERE name = ? AND version = ? AND replica_id = ?"
        await self._write((delete, (name, version, replica_id)))

    async def selection(self, application: str, uid: int) -> str | None:
        """Return what the selection policy of an application keeps for a user."""
        select = "SELECT state FROM selections WHERE application = ? AND uid = ?"
        rows = await self._in_turn(lambda: self._database.execute(select, (application, uid)).fetchall())
        return rows[0][0] if rows else None

    async def put_selection(self, application: str, uid: int, text: str) -> None:
        """Keep what the selection policy of an application has to keep for a user."""
        replace = "REPLACE INTO selections VALUES (?, ?, ?)"
        await self._in_turn(lambda: self._commit([(replace, (application, uid, text))]))

    def changes(self) -> AsyncIterator[None]:
        """Yield at first, and then after what was written through this object: the file is its alone."""
        return self._changes.read()

    async def close(self) -> None:
        """Close the file, and end the readers of `changes`."""
        await self._in_turn(self._database.close)
        self._changes.close()

    async def _write(self, *statements: _Statement) -> None:
        await self._in_turn(lambda: self._commit(statements))
        self._changes.tell()

    async def _in_turn(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask the file in a thread. The lock is the thread's: a cancelled caller leaves its thread running."""

        def turn() -> _Answer:
            with self._turn:
                return ask()

        try:
            return await asyncio.to_thread(turn)
        except sqlite3.ProgrammingError:  # a mistake in this module, or a state that was closed
            raise
        except sqlite3.Error as error:
            raise OutsideError(f"SQLite on {self._path}: {error}") from error

    def _commit(self, statements: Iterable[_Statement]) -> None:
        with self._database:
            for statement, values in statements:
                self._database.execute(statement, values)

    def _read_snapshot(self) -> Snapshot:
        models = [
            ModelVersion(
                name=name,
                version=version,
                input_type=input_type,
                labels=tuple(labels.split(",")) if labels else (),
                container_name=container_name,
                model_data_path=model_data_path,
                batch_size=batch_size,
                batching=batching,
                batch_wait_micros=wait_micros,
            )
            for (
                name,
                version,
                input_type,
                labels,
                container_name,
                model_data_path,
                batch_size,
                batching,
                wait_micros,
            ) in self._rows("models")
        ]
        applications = [
            Application(
                name=name,
                input_type=input_type,
                default_output=default_output,
                latency_slo_micros=slo_micros,
                policy=policy,
                queue_order=queue_order,
            )
            for name, input_type, default_output, slo_micros, policy, queue_order in self._rows("applications")
        ]
        replicas = [
            ReplicaRecord(
                name=name, version=version, replica_id=replica_id, connection_id=connection_id, input_type=input_type
            )
            for name, version, replica_id, connection_id, input_type in self._rows("replicas")
        ]
        pipelines = [
            PipelineRecord(
                name=name,
                document=document,
                plan=plan,
                versions=json.loads(versions),
                deadline_micros=deadline_micros,
            )
            for name, document, plan, versions, deadline_micros in self._rows("pipelines")
        ]
        links: dict[str, frozenset[str]] = {}
        for application, model in self._rows("links"):
            links[application] = links.get(application, frozenset()) | {model}
        return Snapshot(
            applications={application.name: application for application in applications},
            links=links,
            models={(model.name, model.version): model for model in models},
            current=dict(self._rows("current")),
            replicas={(replica.name, replica.version, replica.replica_id): replica for replica in replicas},
            pipelines={pipeline.name: pipeline for pipeline in pipelines},
        )

    def _rows(self, table: str) -> list[Any]:
        return self._database.execute(f"SELECT * FROM {table}").fetchall()

    def _prepare(self) -> None:
        """Take the file for this process, check whose it is, and make the tables of a new one."""
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        owner, version = self._pragma("application_id"), self._pragma("user_version")
        new = not self._pragma("schema_version")
        if not new and owner != _APPLICATION_ID:
            raise InputError(Fault(str(self._path), "", "is another program's database; name another file"))
        if not new and version not in {1, 2, _SCHEMA_VERSION}:
            message = f"has schema version {version}, and this InferLine reads {_SCHEMA_VERSION}: update InferLine"
            raise InputError(Fault(str(self._path), "", message))
        self._pragma("journal_mode = WAL")
        self._pragma("synchronous = FULL")  # with WAL, NORMAL may lose what was written just before a power cut
        if new:
            self._database.executescript(_SCHEMA)
        if version == 1:
            self._database.executescript(_FROM_VERSION_1)
        if version in {1, 2}:
            self._database.executescript(_FROM_VERSION_2)
        damage = self._pragma("quick_check(1)")
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)

    def _pragma(self, pragma: str) -> Any:  # noqa: ANN401 - SQLite's values
        with closing(self._database.execute(f"PRAGMA {pragma}")) as cursor:
            row = cursor.fetchone()
        return row[0] if row else None

    def _refuse(self, error: sqlite3.Error) -> NoReturn:
        """Say why the file cannot be opened."""
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith("SQLITE_BUSY"):
            message = "is open in another process; end that one, or name another file (or Redis, to share)"
            raise OutsideError(str(Fault(str(self._path), "", message))) from error
        if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
            message = f"{error}; is its directory there, and are both writable?"
        else:
            message = f"is no SQLite database, or a damaged one ({error}); restore it, or name another file"
        raise InputError(Fault(str(self._path), "", message)) from error
