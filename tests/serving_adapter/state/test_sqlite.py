"""One file: durable, of one process, and not taken for what it is not."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from inferline.errors import InputError, OutsideError
from serving_adapter.state import open_state

HOLDER = """
import asyncio, sys
from serving_adapter.state import open_state

async def main():
    state = open_state(sys.argv[1])
    await state.set_current("svm", "1")
    await state.put_selection("digits", 0, "kept")
    print("written", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "state.db"


@pytest.fixture
def holder(file):
    """Return another process that has written to the file and holds it open."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, f"sqlite:///{file}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert process.stdout.readline() == b"written\n"
    yield process
    process.kill()
    process.communicate()


def put_one(file):
    async def scenario():
        state = open_state(f"sqlite:///{file}")
        await state.set_current("svm", "1")
        await state.close()

    asyncio.run(scenario())


def current(file):
    async def scenario():
        state = open_state(f"sqlite:///{file}")
        try:
            return (await state.snapshot()).current
        finally:
            await state.close()

    return asyncio.run(scenario())


def test_it_survives_closing(file, within, application, model, replica):
    async def write(state):
        await state.put_application(application)
        await state.put_model(model)
        await state.put_replica(replica)
        await state.add_links("digits", ["svm"])
        await state.set_current("svm", "1")
        await state.put_selection("digits", 3, "three")

    async def read(state):
        snapshot = await state.snapshot()
        assert snapshot.applications == {"digits": application}
        assert snapshot.models == {("svm", "1"): model}
        assert snapshot.replicas == {("svm", "1", 0): replica}
        assert snapshot.links == {"digits": {"svm"}}
        assert snapshot.current == {"svm": "1"}
        assert await state.selection("digits", 3) == "three"

    for scenario in (write, read):
        within(f"sqlite:///{file}", scenario)


def test_relative_and_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put_one("here.db")
    assert current(tmp_path / "here.db") == {"svm": "1"}


def test_it_is_kept_with_a_write_ahead_log_and_marked_as_ours(file):
    put_one(file)
    database = sqlite3.connect(file)
    pragmas = [
        database.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "user_version", "application_id")
    ]
    database.close()
    assert pragmas == ["wal", 3, int.from_bytes(b"INFL")]


def test_a_second_process_is_refused_until_the_first_ends(file, holder):
    with pytest.raises(
        OutsideError, match=rf"{file}: is open in another process; end that one, or name another file"
    ):
        open_state(f"sqlite:///{file}")
    holder.communicate(b"", timeout=10)
    assert current(file) == {"svm": "1"}


def test_a_killed_process_leaves_the_file_free_and_loses_nothing(file, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()

    async def scenario():
        state = open_state(f"sqlite:///{file}")
        assert (await state.snapshot()).current == {"svm": "1"}
        assert await state.selection("digits", 0) == "kept"
        await state.close()

    asyncio.run(scenario())


def test_a_second_state_in_the_same_process_is_refused(file, within):
    async def scenario(state):
        with pytest.raises(OutsideError, match="is open in another process"):
            open_state(f"sqlite:///{file}")
        await state.set_current("svm", "1")

    within(f"sqlite:///{file}", scenario)


def test_a_file_that_is_no_database(file):
    file.write_text("applications:\n  digits: doubles\n" * 100)
    with pytest.raises(
        InputError, match=rf"{file}: is no SQLite database, or a damaged one \(file is not a database"
    ):
        open_state(f"sqlite:///{file}")
    assert file.read_text().startswith("applications:")


def test_a_damaged_file(file):
    put_one(file)
    content = bytearray(file.read_bytes())
    content[4096:] = bytes(0xA5 for _ in content[4096:])  # all pages but the first
    file.write_bytes(content)
    with pytest.raises(InputError, match=rf"{file}: is no SQLite database, or a damaged one"):
        open_state(f"sqlite:///{file}")


def test_another_programs_database(file):
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE applications (name TEXT)")
    database.close()
    before = file.read_bytes()
    with pytest.raises(InputError, match=rf"{file}: is another program's database; name another file"):
        open_state(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_a_later_schema(file):
    put_one(file)
    database = sqlite3.connect(file)
    database.execute("PRAGMA user_version = 4")
    database.close()
    with pytest.raises(InputError, match="has schema version 4, and this InferLine reads 3: update InferLine"):
        open_state(f"sqlite:///{file}")


def test_a_file_of_the_first_schema_is_brought_up_to_date(file, within, application, model):
    async def write(state):
        await state.put_application(application)
        await state.put_model(model)

    async def read(state):
        snapshot = await state.snapshot()
        assert (snapshot.applications, snapshot.models) == ({"digits": application}, {("svm", "1"): model})

    within(f"sqlite:///{file}", write)
    with closing(sqlite3.connect(file)) as database:
        for table, column in (
            ("applications", "queue_order"),
            ("models", "batching"),
            ("models", "batch_wait_micros"),
        ):
            database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        database.execute("DROP TABLE pipelines")
        database.execute("PRAGMA user_version = 1")
        database.commit()
    for _ in range(2):
        within(f"sqlite:///{file}", read)


def test_no_such_directory(tmp_path):
    with pytest.raises(InputError, match=r"absent/state.db: .*; is its directory there, and are both writable\?"):
        open_state(f"sqlite:///{tmp_path}/absent/state.db")


def test_what_fails_later_names_the_file(file, within):
    async def scenario(state):
        state._database.execute("DROP TABLE current")
        with pytest.raises(OutsideError, match=rf"SQLite on {file}: no such table: current"):
            await state.set_current("svm", "1")

    within(f"sqlite:///{file}", scenario)


def test_a_write_is_whole_or_not_at_all(file, within, application):
    async def scenario(state):
        await state.put_application(application)
        await state.add_links("digits", ["svm"])
        state._database.execute("DROP TABLE selections")
        with pytest.raises(OutsideError):
            await state.delete_application("digits")
        snapshot = await state.snapshot()
        assert (snapshot.applications, snapshot.links) == ({"digits": application}, {"digits": {"svm"}})

    within(f"sqlite:///{file}", scenario)
