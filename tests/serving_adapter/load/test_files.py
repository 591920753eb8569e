"""Bodies that go in, and the file of every query that comes out."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from inferline.errors import InputError
from serving_adapter.load import (
    ExpectedOutputs,
    Outcome,
    Records,
    as_input,
    bodies,
    check_per_query,
    made_up_inputs,
    read_lines,
    write_per_query,
)

RECORDS = Records(
    intended_ns=np.array([0, 1_500_000_000, 1_600_000_000, 1_700_000_000]),
    sent_ns=np.array([1_000, 1_500_000_001, -1, 1_700_000_000]),
    done_ns=np.array([12_345, 1_600_000_000, 6_600_000_000, -1]),
    status=np.array([200, 503, 0, 0], dtype=np.int16),
    outcome=np.array([Outcome.OK, Outcome.STATUS, Outcome.UNSENT, Outcome.UNFINISHED], dtype=np.int8),
    default=np.array([True, False, False, False]),
)


def test_every_query_as_csv(tmp_path):
    write_per_query(tmp_path / "queries.csv", RECORDS)
    assert (tmp_path / "queries.csv").read_text().splitlines() == [
        "query,intended_s,sent_s,latency_s,status,ok,default,error",
        "0,0.000000000,0.000001000,0.000012345,200,1,1,",
        "1,1.500000000,1.500000001,0.100000000,503,0,0,http",
        "2,1.600000000,,5.000000000,,0,0,unsent",
        "3,1.700000000,1.700000000,,,0,0,unfinished",
    ]
    assert list(tmp_path.iterdir()) == [tmp_path / "queries.csv"]


def test_every_query_as_parquet_says_the_same(tmp_path):
    from pyarrow import parquet as pq  # noqa: PLC0415 - slow to import

    write_per_query(tmp_path / "queries.parquet", RECORDS)
    write_per_query(tmp_path / "queries.csv", RECORDS)
    with (tmp_path / "queries.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row, stored in zip(rows, pq.read_table(tmp_path / "queries.parquet").to_pylist(), strict=True):
        for name, text in row.items():
            value = stored[name]
            if name == "error":
                assert text == value
            else:
                assert (float(text) if text else None) == (None if value is None else float(value))


def test_where_no_file_of_queries_can_go(tmp_path):
    with pytest.raises(InputError, match=r"\.csv, \.parquet"):
        check_per_query(tmp_path / "queries.txt")
    with pytest.raises(InputError, match="no such folder"):
        check_per_query(tmp_path / "nowhere" / "queries.csv")
    (tmp_path / "queries.csv").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_per_query(tmp_path / "queries.csv", RECORDS)


@pytest.mark.parametrize(
    ("input_type", "kind"), [("doubles", float), ("floats", float), ("integers", int)],
)  # fmt: skip
def test_made_up_numbers_are_flat_seeded_and_of_their_type(input_type, kind):
    inputs = made_up_inputs(input_type, [2, 3], 5, seed=1)
    assert inputs == made_up_inputs(input_type, [2, 3], 5, seed=1) != made_up_inputs(input_type, [2, 3], 5, seed=2)
    texts = [json.loads(body)["input"] for body in bodies(inputs)]
    assert all(len(text) == 6 and all(type(number) is kind for number in text) for text in texts)
    assert len({str(each) for each in inputs}) == 5


def test_made_up_texts_and_bytes():
    assert [len(text) for text in made_up_inputs("strings", [9], 2, seed=1)] == [9, 9]
    assert all(isinstance(text, str) and len(text) == 12 for text in made_up_inputs("bytes", [9], 2, seed=1))
    with pytest.raises(InputError, match="above 1 GiB"):
        made_up_inputs("doubles", [3, 2000, 2000], 1000, seed=1)


def test_lines_stand_as_they_are_unless_a_type_is_asked_for(tmp_path):
    path = tmp_path / "inputs.jsonl"
    path.write_text('[1, 2.50]\n\n{"a": 1}\n')
    assert bodies(read_lines(path), "x") == [b'{"x":[1, 2.50]}', b'{"x":{"a": 1}}']
    with pytest.raises(InputError, match="line 3: a mapping is not a flat list of numbers"):
        read_lines(path, lambda value: as_input(value, "doubles"))
    path.write_text("[1, 2.50]\n[]\n")
    assert bodies(read_lines(path, lambda value: as_input(value, "doubles"))) == [
        b'{"input":[1.0,2.5]}',
        b'{"input":[]}',
    ]


@pytest.mark.parametrize(("value", "input_type"), [("a", "integers"), ([1.5], "integers"), ([True], "floats"),
                                                   ([["1"]], "doubles"), ([1], "strings"), (1, "bytes")])  # fmt: skip
def test_values_that_are_no_input_of_a_type(value, input_type):
    with pytest.raises(ValueError, match=input_type):
        as_input(value, input_type)


def test_every_faulty_line_is_named(tmp_path):
    path = tmp_path / "inputs.jsonl"
    path.write_text("[1]\n[2\n" + "[" * 5000 + "\n")
    with pytest.raises(InputError) as caught:
        read_lines(path)
    assert [fault.where for fault in caught.value.faults] == ["line 2", "line 3"]
    path.write_text("\n")
    with pytest.raises(InputError, match="is empty"):
        read_lines(path)


def test_expected_outputs_are_those_of_the_inputs_in_turn():
    check = ExpectedOutputs([1, {"a": [0.5]}])
    assert check(2, b'{"query_id": 9, "output": 1, "default": false}')
    assert check(3, b'{"output": {"a": [0.5]}}')
    for body in (b'{"output": 2}', b"{}", b"", b"[1]", b'{"output": null}'):
        assert not check(2, body)
