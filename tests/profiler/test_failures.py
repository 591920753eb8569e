"""What a failed replica is said to have failed of."""

from __future__ import annotations

import signal

import pytest

from inferline.errors import Fault, InputError, OutsideError
from profiler.failures import MemoryExhausted, Place, ended_failure, reported_failure

PLACE = Place(model="m", hardware="k80", batch_size=8)
AT = "model 'm' on 'k80' failed at batch size 8: "


@pytest.mark.parametrize(
    ("exit_code", "last_words", "kind", "message"),
    [
        (3, "", OutsideError, AT + "its process ended with exit code 3"),
        (0, "bye", OutsideError, AT + "its process ended with exit code 0; it last wrote: bye"),
        (-signal.SIGSEGV, "", OutsideError, AT + "its process was ended by SIGSEGV"),
        (-250, "", OutsideError, AT + "its process was ended by signal 250"),
        (
            -signal.SIGKILL,
            "",
            MemoryExhausted,
            AT + "its process was killed, which is what happens when memory runs out",
        ),
    ],
)
def test_an_end_without_a_report(exit_code, last_words, kind, message):
    error = ended_failure(PLACE, exit_code, last_words)
    assert (type(error), str(error)) == (kind, message)


def test_reports_become_errors():
    loading = Place(model="m", hardware="k80")
    fault = {"file": "p.yaml", "where": "models.m.onnx", "message": "no file m.onnx"}
    error = reported_failure(loading, {"kind": "input", "faults": [fault]})
    assert isinstance(error, InputError)
    assert error.faults == (Fault("p.yaml", "models.m.onnx", "no file m.onnx"),)
    error = reported_failure(loading, {"kind": "outside", "message": "raised ValueError: x"})
    assert (type(error), str(error)) == (
        OutsideError,
        "model 'm' on 'k80' failed while loading: raised ValueError: x",
    )
    error = reported_failure(PLACE, {"kind": "memory", "message": "MemoryError"})
    assert (type(error), str(error)) == (MemoryExhausted, AT + "memory ran out: MemoryError")
