"""One charge and its real processes, on a clock of the test's."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from serving_adapter.replicas import SetKey
from serving_adapter.replicas.local.charges import Charge
from serving_adapter.replicas.local.decisions import Life
from serving_adapter.replicas.local.launches import MARK, Launch
from serving_adapter.replicas.local.processes import end_leftovers

CORE = max(os.sched_getaffinity(0))


@pytest.fixture
def begin(tmp_path):
    """Return what starts a charge at 100 s; it is ended in the end."""
    made = []

    def start(*command, folder=tmp_path, says_ready=True):
        launch = Launch(
            command=command,
            environment={**os.environ, "HERE": str(tmp_path), MARK: str(tmp_path)},
            folder=folder,
            log=tmp_path / "log",
            cores=(CORE,),
            ready_file=tmp_path / "ready",
            says_ready=says_ready,
        )
        life = Life(id="rank-0", key=SetKey("rank", "1", "cpu-1"), born=0, started_s=100.0)
        made.append(Charge(life=life, launch=launch))
        made[-1].start(100.0)
        return made[-1]

    yield start
    for charge in made:
        if charge.process is not None:
            charge.process.kill()
            while charge.process.exit_code() is None:
                pass


def shell(text):
    return "sh", "-c", text


def shown(charge, now_s=100.0):
    replica = charge.shown(now_s, "")
    return replica.phase, replica.message


def test_ready_ended_and_again(begin, place):
    lives = 'touch ready; while [ -e ready ] && [ ! -e "$HERE/end" ]; do sleep 0.01; done'
    charge = begin(*shell(f"{lives}; echo bye; exit 3"))
    place.until(lambda: charge.observe(101.0) and charge.life.ready)
    assert shown(charge) == ("ready", "")
    (place.models / "end").touch()
    place.until(lambda: charge.observe(102.0) and charge.life.ended_s)
    assert shown(charge, 102.1) == ("failed", "ended with exit code 3; it last wrote: bye; it starts again in 0.4 s")
    (place.models / "end").unlink()
    (place.models / "ready").touch()
    charge.start_again(102.5)
    assert charge.shown(102.5, "over-subscribed").message == (
        "before, it ended with exit code 3; it last wrote: bye; over-subscribed"
    )
    place.until(lambda: charge.observe(103.0) and charge.life.ready)
    assert (shown(charge), charge.life.restarts) == (("ready", ""), 1)


def test_it_is_on_its_cores_in_its_folder_and_nothing_is_inherited(begin, place):
    text = (
        "import os; print(os.sched_getaffinity(0), os.getcwd(), sorted(map(int, os.listdir('/proc/self/fd')))[:-1],"
        " os.getpid() == os.getsid(0), flush=True)"
    )
    with (place.models / "inherited").open("w") as other:
        os.set_inheritable(other.fileno(), True)
        charge = begin(sys.executable, "-I", "-c", text)
        place.until(lambda: charge.observe(101.0) and charge.life.ended_s)
    assert (place.models / "log").read_text() == f"{{{CORE}}} {place.models} [0, 1, 2] True\n"


def test_what_cannot_be_started_says_why(begin, place):
    charge = begin("/no/such/program")
    place.until(lambda: charge.observe(100.0) and charge.life.ended_s)
    said = f"message=cannot start '/no/such/program' in '{place.models}': No such file or directory"
    reason = "ended with exit code 1; it last wrote: event=refused code=1"
    assert shown(charge) == ("failed", f"{reason} {said}; it starts again in 0.5 s")


@pytest.mark.parametrize("command", [("a\0b",), ("x" * 2**21,)])
def test_what_no_system_starts_says_why(begin, command):
    charge = begin(*command)
    assert charge.life.phase == "failed"
    assert charge.shown(100.0, "").message.startswith("cannot be started: ")


def test_a_foreign_container_that_lives_is_taken_for_ready(begin):
    charge = begin("sleep", "300", says_ready=False)
    log = []
    for now_s in (100.0, 101.9, 102.0):
        charge.observe(now_s)
        log.append((now_s, charge.life.phase))
    assert log == [(100.0, "starting"), (101.9, "starting"), (102.0, "ready")]
    assert shown(charge) == ("ready", "it lives, but says nothing of being ready")


def test_one_that_will_not_end_is_killed_with_all_of_its_own(begin, place):
    charge = begin(*shell('trap "" TERM; sleep 300 & echo $! > child; touch ready; while true; do sleep 0.01; done'))
    place.until(lambda: charge.observe(101.0) and charge.life.ready)
    child = int((place.models / "child").read_text())
    charge.stop(102.0)
    assert (charge.observe(103.0), shown(charge)) == (True, ("stopping", ""))
    os.kill(child, 0)
    charge.kill()
    place.until(lambda: not charge.observe(104.0))
    place.until(lambda: is_gone(child))


def test_leftovers_are_found_by_their_folder_alone(begin, place):
    charge = begin("sleep", "300")
    place.until(lambda: b"sleep" in Path(f"/proc/{charge.process._process.pid}/cmdline").read_bytes())
    assert end_leftovers(place.models / "other") == 0
    assert charge.observe(101.0)
    assert charge.life.ended_s is None
    assert end_leftovers(place.models) == 1
    place.until(lambda: charge.observe(102.0) and charge.life.ended_s)
    assert "was killed" in charge.reason


def test_a_signal_is_named(begin, place):
    charge = begin(*shell("kill -USR1 $$"))
    place.until(lambda: charge.observe(101.0) and charge.life.ended_s)
    assert charge.reason == f"was ended by {signal.SIGUSR1.name}"


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
