"""Real replicas: what they answer, how they fail, and that nothing of them is left."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import pytest

import profiler
from inferline.domain import Hardware
from inferline.errors import InputError, OutsideError
from profiler.failures import MemoryExhausted
from profiler.replica import start_replica
from profiler.results import Limits
from serving_adapter.machine import Placement, placements, this_machine
from serving_adapter.rpc.container import Container

LIMITS = Limits(load_timeout_s=60.0, batch_timeout_s=30.0)
FRAMES = [b"7", b"[1,2]", b'{"x":null}', b'["a"]']


@pytest.fixture
def placement(small):
    return placements(this_machine(), small)[0]


def is_gone(pid):
    """Whether a process ends within a few seconds; one that nobody has waited for counts as ended."""
    deadline = monotonic() + 10
    while monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        sleep(0.02)
    return False


def test_a_replica_answers_in_order_and_tells_both_times(entry_of, placement):
    with start_replica(entry_of("affine"), placement, LIMITS, FRAMES[:1]) as replica:
        answer = replica.predict(FRAMES)
        assert answer.outputs == FRAMES
        assert 0.0028 <= answer.latency_s < answer.hop_s < 1.0
        assert replica.predict(FRAMES[:1]).latency_s >= 0.0022
        assert 0.05 < replica.load_s < 60
        assert replica.environment == {"device": ""}


def test_it_runs_where_it_is_placed_and_is_out_of_reach_of_the_terminal(entry_of):
    machine = this_machine()
    placement = Placement(
        hardware=Hardware(name="two", price_nano_usd_per_hour=1, cpus=2), cores=(machine.cores[-1],)
    )
    with start_replica(entry_of("about_itself"), placement, LIMITS, [b"0"]) as replica:
        about = json.loads(replica.predict([b"0"]).outputs[0])
        assert about["cores"] == [machine.cores[-1]]
        assert (about["OMP_NUM_THREADS"], about["CUDA_VISIBLE_DEVICES"]) == ("2", "")
        assert about["session"] == about["pid"] != os.getpid()
    assert is_gone(about["pid"])


def test_it_dies_with_the_profiler(entry_of):
    entry = entry_of("about_itself")
    script = f"""
import time
from pathlib import Path
from inferline.domain import Hardware
from serving_adapter.machine import placements, this_machine
from profiler.replica import start_replica
from profiler.results import Limits
from serving_adapter.models import ModelEntry
entry = ModelEntry(name="m", kind="callable", target={entry.target!r}, folder=Path({str(entry.folder)!r}))
placement = placements(this_machine(), Hardware(name="h", price_nano_usd_per_hour=1))[0]
replica = start_replica(entry, placement, Limits(), [b"0"])
print(replica.predict([b"0"]).outputs[0].decode(), flush=True)
time.sleep(3600)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        pid = json.loads(parent.stdout.readline())["pid"]
        os.kill(pid, 0)  # it is there
        parent.kill()
    assert is_gone(pid)


def failure(entry, placement, limits=LIMITS, size=2):
    """Return what goes wrong while a replica loads, or predicts a batch of that size."""
    expected = pytest.raises((InputError, OutsideError))
    with expected as caught, start_replica(entry, placement, limits, FRAMES[:1]) as replica:
        replica.predict(FRAMES[:1] * size)
    return caught.value


AT = "model {!r} on 'cpu-1' failed at batch size {}: "


@pytest.mark.parametrize(
    ("name", "size", "kind", "message"),
    [
        ("fails_at_8", 8, OutsideError, "raised LookupError: no class 8 (tiny_models.py, line 23)"),
        ("no_memory_at_4", 4, MemoryExhausted, "memory ran out: MemoryError: 16 GiB wanted"),
        ("no_memory", 1, MemoryExhausted, "memory ran out: RuntimeError: CUDA out of memory. Tried"),
        ("dies_at_2", 2, OutsideError, "its process ended with exit code 3; it last wrote: goodbye"),
        ("killed_at_2", 2, MemoryExhausted, "its process was killed, which is what happens when memory runs out"),
    ],
)
def test_a_failing_model_is_named_with_hardware_and_batch_size(entry_of, placement, name, size, kind, message):
    error = failure(entry_of(name), placement, size=size)
    assert type(error) is kind
    assert str(error).startswith(AT.format(name, size) + message)


def test_a_wrong_number_of_outputs(entry_of, placement):
    error = failure(entry_of("one_too_few"), placement, size=1)
    assert isinstance(error, OutsideError)
    assert str(error).startswith(AT.format("one_too_few", 1))
    assert "0 outputs for 1 inputs" in str(error)


def test_a_model_that_hangs_is_given_up(entry_of, placement):
    began_s = monotonic()
    error = failure(entry_of("hangs_at_2"), placement, Limits(batch_timeout_s=0.6))
    assert str(error) == AT.format("hangs_at_2", 2) + "no answer within 0.6 s; it was given up"
    assert monotonic() - began_s < 30


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_module:f", "no_such_module"),
        ("tiny_models:nothing", "nothing"),
    ],
)
def test_a_wrong_entry_is_the_inputs_fault_with_its_key(entry_of, placement, target, message):
    error = failure(entry_of("m", target=target), placement)
    assert isinstance(error, InputError)
    (fault,) = error.faults
    assert (fault.file, fault.where) == ("p.yaml", "models.m.callable")
    assert message in fault.message


CONTAINER = """
import os
from serving_adapter.rpc.container import Container

class Model:
    def predict(self, inputs):
        return [float(each.sum()) for each in inputs]

assert os.environ["CLIPPER_MODEL_PATH"].endswith("weights")
Container(
    model=Model(),
    name=os.environ["CLIPPER_MODEL_NAME"],
    version=os.environ["CLIPPER_MODEL_VERSION"],
    input_type=os.environ["CLIPPER_INPUT_TYPE"],
    address="tcp://" + os.environ["CLIPPER_IP"] + ":" + os.environ["CLIPPER_PORT"],
).serve()
"""

DOUBLES = [b"\0\0\0\0\0\0\xf0\x3f" * 2, b"\0\0\0\0\0\0\xf0\x3f"]


def foreign(entry_of, command, **options):
    return entry_of(
        "sums",
        kind="container",
        target="registry/sums:1",
        input_type="doubles",
        options={"command": command, **options},
    )


def test_a_foreign_container_is_started_by_its_command(entry_of, placement, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(profiler.__file__).parent.parent))
    entry = foreign(entry_of, [sys.executable, "serve.py"], model_path="weights")
    (entry.folder / "serve.py").write_text(CONTAINER)
    with start_replica(entry, placement, LIMITS, DOUBLES[:1]) as replica:
        answer = replica.predict(DOUBLES)
        assert answer.outputs == [b"2.0", b"1.0"]
        assert answer.latency_s == answer.hop_s > 0
        assert replica.environment == {"container": "sums:1"}
        assert replica.load_s > 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("no-such-program --serve", "cannot start 'no-such-program': No such file or directory"),
        ([], "[] is no command; write it like [python, serve.py]"),
        (7, "7 is no command; write it like [python, serve.py]"),
    ],
)
def test_a_command_that_is_none_is_the_inputs_fault(entry_of, placement, command, message):
    error = failure(foreign(entry_of, command), placement)
    assert isinstance(error, InputError)
    assert [str(fault) for fault in error.faults] == [f"p.yaml: models.sums.command: {message}"]


def test_a_container_that_ends_before_it_registers(entry_of, placement):
    error = failure(foreign(entry_of, "sh -c 'echo no weights; exit 7'"), placement)
    message = "failed while loading: its process ended with exit code 7; it last wrote: no weights"
    assert str(error) == f"model 'sums' on 'cpu-1' {message}"


def test_a_container_that_never_registers_is_given_up(entry_of, placement):
    error = failure(foreign(entry_of, "sleep 3600"), placement, Limits(load_timeout_s=0.5))
    message = "failed while loading: it did not register within 0.5 s and was given up"
    assert str(error) == f"model 'sums' on 'cpu-1' {message}"


class Double:
    def predict(self, inputs):
        return [2 * each for each in inputs]


@pytest.fixture
def by_hand(request):
    """Start a container of this input type, in a thread, as soon as the profiler says where."""
    running = []

    def tell(message):
        port = int(message.rpartition(" ")[2])
        container = Container(
            model=Double(),
            name="hand",
            version="3",
            input_type=request.param,
            address=f"tcp://127.0.0.1:{port}",
            poll_s=0.05,
        )
        thread = Thread(target=container.serve)
        running.append((container, thread))
        thread.start()

    yield tell
    for container, thread in running:
        container.stop.set()
        thread.join()


@pytest.mark.parametrize("by_hand", ["doubles"], indirect=True)
def test_without_a_command_the_profiler_waits_for_whoever_connects(entry_of, placement, by_hand):
    entry = entry_of("m", kind="container", target="registry/m:1", input_type="doubles")
    with start_replica(entry, placement, LIMITS, DOUBLES[:1], by_hand) as replica:
        assert replica.predict(DOUBLES[1:]).outputs == [b"[2.0]"]
        assert replica.environment == {"container": "hand:3"}
        assert math.isnan(replica.load_s)
        replica.attend()


@pytest.mark.parametrize("by_hand", ["strings"], indirect=True)
def test_a_container_of_another_type_is_refused(entry_of, placement, by_hand):
    entry = entry_of("m", kind="container", target="registry/m:1", input_type="doubles")
    with pytest.raises(InputError, match=r"models\.m\.input_type: doubles, but the container .* strings"):
        start_replica(entry, placement, LIMITS, DOUBLES[:1], by_hand)


def test_a_replica_that_is_ended_says_so_and_closing_twice_does_no_harm(entry_of, placement):
    replica = start_replica(entry_of("echo"), placement, LIMITS, FRAMES[:1])
    replica.kill()
    with pytest.raises(OutsideError, match=signal.SIGTERM.name):
        replica.predict(FRAMES[:1])
    replica.close()
    replica.close()
