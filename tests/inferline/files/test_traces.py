"""Traces: both formats, compressed or not, and every fault with its line."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.domain import Trace
from inferline.domain.arrivals import PerSecondCounts
from inferline.errors import InputError
from inferline.files import read_trace
from inferline.files.trace_file import traces
from inferline.files.trace_file.trace_columns import ArrivalTimes, RequestsPerSecond, take
from inferline.units import MAX_TIME_NS


@pytest.fixture(params=[bytes, gzip.compress], ids=["plain", "gzip"])
def written(request, folder):
    """Write a trace, plain or compressed; both have the same name, because the content decides."""

    def write(text: str) -> str:
        (folder / "trace.csv").write_bytes(request.param(text.encode()))
        return "trace.csv"

    return write


def test_arrival_times(written):
    trace = read_trace(written("arrival_s\n0\n0.1\n 0.1 \n2.5e0\n3\n"))
    assert isinstance(trace, Trace)
    assert trace.arrival_ns.tolist() == [0, 10**8, 10**8, 25 * 10**8, 3 * 10**9]
    assert trace.duration_ns == 3 * 10**9 + 1


def test_arrival_times_are_rounded_half_to_even(written):
    trace = read_trace(written("arrival_s\n0.0000000005\n0.0000000015\n0.0000000025\n1.123456789\n"))
    assert trace.arrival_ns.tolist() == [0, 2, 2, 1_123_456_789]


def test_requests_per_second(written):
    counts = read_trace(written("second,requests\n0,3\n1,0\n2,5.0\n"))
    assert isinstance(counts, PerSecondCounts)
    assert counts.requests.tolist() == [3, 0, 5]


@pytest.mark.parametrize("text", ["\ufeffarrival_s\r\n1\r\n2\r\n", "arrival_s\n\n1\n\n2", " arrival_s \n1\n2\n\n \n"])
def test_line_ends_blank_lines_and_byte_order_marks_do_not_matter(written, text):
    assert read_trace(written(text)).arrival_ns.tolist() == [10**9, 2 * 10**9]


def test_pieces_of_a_long_file_fit_together(written, monkeypatch):
    seconds = np.sort(np.random.default_rng(1).random(3000)) * 100
    text = "arrival_s\n" + "".join(f"{each:.9f}\n" for each in seconds)
    monkeypatch.setattr(traces, "_PIECE_BYTES", 1000)
    assert read_trace(written(text)).arrival_ns.tolist() == [round(float(f"{each:.9f}") * 1e9) for each in seconds]


def test_several_gzip_members_are_one_file(folder):
    (folder / "trace.csv.gz").write_bytes(gzip.compress(b"arrival_s\n1\n") + gzip.compress(b"2\n"))
    assert len(read_trace("trace.csv.gz")) == 2


HEADERS = "write arrival_s, or second,requests"
BROKEN = {
    "empty": ("", ["line 1: no header; a trace begins with the line arrival_s, or second,requests"]),
    "header only": ("arrival_s\n", ["holds no query; it needs at least one"]),
    "counts of 0": ("second,requests\n0,0\n1,0\n", ["holds no query; it needs at least one"]),
    "other header": ("time\n1\n", [f"line 1: 'time' is not the header of a trace; {HEADERS}"]),
    "other columns": ("second,request\n0,1\n", [f"line 1: 'second,request' is not the header of a trace; {HEADERS}"]),
    "no header": ("0.1\n0.2\n", [f"line 1: '0.1' is not the header of a trace; {HEADERS}"]),
    "binary": ("\x89PNG\r\n\0\0", [f"line 1: '\\x89PNG' is not the header of a trace; {HEADERS}"]),
    "unsorted": ("arrival_s\n0.1\n0.3\n0.2\n0.4\n", ["line 4: 0.2 comes after 0.3; arrivals must be sorted"]),
    "negative": ("arrival_s\n-0.1\n", ["line 2: -0.1 is negative; arrivals are seconds from the start"]),
    "barely negative": ("arrival_s\n-1e-12\n", ["line 2: -1e-12 is negative; arrivals are seconds from the start"]),
    "NaN": ("arrival_s\n0.1\nnan\n", ["line 3: 'nan' is not a number of seconds"]),
    "infinite": ("arrival_s\n0.1\ninf\n", ["line 3: 'inf' is not a number of seconds"]),
    "text": ("arrival_s\n0.1\n\nabc\n", ["line 4: 'abc' is not a number of seconds"]),
    "digits of another script": ("arrival_s\n\u0663\n", ["line 2: '\u0663' is not a number of seconds"]),
    "underscore": ("arrival_s\n1_0\n", ["line 2: '1_0' is not a number of seconds"]),
    "two columns": ("arrival_s\n0.1,3\n", ["line 2: '0.1,3' is not a number of seconds"]),
    "146 years": ("arrival_s\n1\n1e300\n", ["line 3: 1e300 is longer than 146 years (2**62 ns)"]),
    "several": (
        "arrival_s\nx\n2\n1\n-1\n",
        [
            "line 2: 'x' is not a number of seconds",
            "line 4: 1 comes after 2.0; arrivals must be sorted",
            "line 5: -1 is negative; arrivals are seconds from the start",
        ],
    ),
    "very many": (
        "arrival_s\n" + "x\n" * 50,
        [f"line {i}: 'x' is not a number of seconds" for i in range(2, 22)]
        + ["line 22: the faults from here on are not listed"],
    ),
    "negative count": ("second,requests\n0,-1\n", ["line 2: requests -1 is negative"]),
    "fractional count": ("second,requests\n0,1.5\n", ["line 2: requests '1.5' is not a whole number"]),
    "count of NaN": ("second,requests\n0,nan\n", ["line 2: requests 'nan' is not a whole number"]),
    "absurd count": (
        "second,requests\n0,1e12\n",
        ["line 2: requests 1e12 is out of range; it must be at most 1000000000"],
    ),
    "missing second": (
        "second,requests\n0,1\n1,2\n3,4\n4,4\n",
        ["line 4: second 3 stands where second 2 is expected; write every second, from 0, once"],
    ),
    "starts at 1": (
        "second,requests\n1,4\n2,4\n",
        ["line 2: second 1 stands where second 0 is expected; write every second, from 0, once"],
    ),
    "fractional second": ("second,requests\n0.5,4\n", ["line 2: second '0.5' is not a whole number"]),
    "one cell": ("second,requests\n0\n", ["line 2: '0' has 1 cells; write second,requests"]),
    "endless line": ("arrival_s\n" + "1" * 5_000_000, ["has a line of more than 1000 characters; this is no trace"]),
}


@pytest.mark.parametrize(("text", "expected"), BROKEN.values(), ids=BROKEN)
def test_every_fault_is_named_exactly(written, faults_of, text, expected):
    assert faults_of(lambda: read_trace(written(text))) == [f"trace.csv: {each}" for each in expected]


ZIPPED = gzip.compress(b"arrival_s\n" + b"".join(b"%d\n" % i for i in range(1000)))
DAMAGED = {
    "cut off": (ZIPPED[: len(ZIPPED) // 2], "is cut off: its gzip data ends too early"),
    "cut off in its header": (ZIPPED[:4], "is cut off: its gzip data ends too early"),
    "wrong checksum": (ZIPPED[:-8] + b"12345678", "is damaged gzip data: CRC check failed"),
    "rubbish behind it": (ZIPPED + b"rubbish", "is damaged gzip data: Not a gzipped file"),
    "rubbish inside": (ZIPPED[:20] + b"\xff\xff\xff" + ZIPPED[23:], "is damaged gzip data: Error -3"),
}


@pytest.mark.parametrize(("data", "expected"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_gzip(folder, faults_of, data, expected):
    (folder / "trace.csv.gz").write_bytes(data)
    (fault,) = faults_of(lambda: read_trace("trace.csv.gz"))
    assert fault.startswith(f"trace.csv.gz: {expected}")


def test_a_gzip_bomb_is_stopped(folder, faults_of, monkeypatch):
    monkeypatch.setattr(traces, "MAX_TRACE_BYTES", 2**20)
    monkeypatch.setattr(traces, "_PIECE_BYTES", 2**16)
    (folder / "trace.csv.gz").write_bytes(gzip.compress(b"arrival_s\n" + b"0\n" * 2**20))
    assert faults_of(lambda: read_trace("trace.csv.gz")) == ["trace.csv.gz: is larger than 1 MiB when decompressed"]


def test_too_many_queries_are_stopped(folder, faults_of, monkeypatch):
    monkeypatch.setattr(traces, "MAX_QUERIES", 1000)
    (folder / "trace.csv").write_bytes(b"arrival_s\n" + b"0\n" * 1001)
    assert faults_of(lambda: read_trace("trace.csv")) == [
        "trace.csv: has more than 1000 lines, the most that is accepted"
    ]


@pytest.mark.parametrize("name", ["nothere.csv", "."])
def test_files_that_cannot_be_read(folder, faults_of, name):
    (fault,) = faults_of(lambda: read_trace(name))
    assert fault.startswith(f"{name}: cannot be read: ")


NUMBERS = st.one_of(
    st.floats(0, 1e10).map(repr),
    st.integers(0, 5).map(str),
    st.sampled_from(["nan", "-0", "1e400", "", " 1 ", "1,2", "0x1", "1e5", "007", "+2", "4611686018.427388", "1_0"]),
)


@given(lines=st.lists(st.tuples(NUMBERS, st.sampled_from([NUMBERS, None])), max_size=6), data=st.data())
@settings(max_examples=300, deadline=None)
@pytest.mark.parametrize("kind", [ArrivalTimes, RequestsPerSecond])
def test_line_by_line_and_piece_by_piece_agree(kind, lines, data):
    """What NumPy takes at once is exactly what the lines, each for itself, are taken for."""
    texts = [first if second is None else f"{first},{data.draw(second)}" for first, second in lines]
    piece = "".join(text + "\n" for text in texts).encode()
    fast, slow = kind(), kind()
    faults: list[object] = []
    take(fast, piece, 2, "f", faults)
    messages = [message for text in texts if text.strip() and (message := slow.line(text))]
    assert [fault.message for fault in faults] == messages
    if not messages:
        assert outcome(fast) == outcome(slow)


def outcome(columns: ArrivalTimes | RequestsPerSecond) -> object:
    try:
        found = columns.finished()
    except ValueError as error:
        return str(error)
    return (found.arrival_ns if isinstance(found, Trace) else found.requests).tolist()


@given(st.binary(max_size=200), st.sampled_from([b"", b"arrival_s\n", b"second,requests\n", b"\x1f\x8b\x08\0"]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_trace_or_faults(data, begin):
    try:
        found = traces.parse_trace("trace.csv", begin + data)
    except InputError:
        return
    assert isinstance(found, Trace | PerSecondCounts)
    if isinstance(found, Trace):
        assert found.duration_ns <= MAX_TIME_NS
