"""YAML under caps: what is refused before anything is built from it, and what ordinary use needs."""

from __future__ import annotations

import math

import pytest
import yaml

from inferline.errors import InputError
from inferline.files import read_pipeline
from inferline.files.documents import yaml_document
from inferline.files.documents.yaml_document import MAX_DEPTH, MAX_NODES, parse_yaml

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

REFUSED = {
    "nothing": (b"", ["is empty; a pipeline file begins with version: 1"]),
    "only a comment": (b"# nothing\n", ["is empty; a pipeline file begins with version: 1"]),
    "a text": (
        b"pipeline\n",
        [
            "'pipeline' is not a mapping; its keys are version, name, slo, profiles, hardware, stages, workload, "
            "models, seed and planner"
        ],
    ),
    "a list": (
        b"- a\n",
        [
            "a list is not a mapping; its keys are version, name, slo, profiles, hardware, stages, workload, "
            "models, seed and planner"
        ],
    ),
    "not UTF-8": (b"name: a\nslo: \xff\n", ["line 2: byte 0xff is not UTF-8 text"]),
    "UTF-16": ("name: a\n".encode("utf-16"), ["line 1: byte 0xff is not UTF-8 text"]),
    "a NUL": (b"name: a\n\0\n", ["line 2: a NUL byte is not text"]),
    "a control character": (b"name: a\x07\n", ["line 1: the control character '\\x07' is not accepted"]),
    "a bomb of aliases": (LAUGHS.encode(), [f"line 5: holds more than {MAX_NODES} values, aliases expanded"]),
    "very many values": (
        b"[" + b"1," * MAX_NODES + b"1]",
        [f"line 1: holds more than {MAX_NODES} values, aliases expanded"],
    ),
    "deep lists": (b"[" * 5000, [f"line 1: is nested more than {MAX_DEPTH} levels deep"]),
    "deep mappings": (b"{a: " * 100, [f"line 1: is nested more than {MAX_DEPTH} levels deep"]),
    "deep by aliases": (
        f"a: &a {'[' * 20}{']' * 20}\nb: {'[' * 20}*a{']' * 20}\n".encode(),
        [f"line 2: is nested more than {MAX_DEPTH} levels deep"],
    ),
    "an object": (
        b"name: !!python/object/new:os.system [ls]\n",
        ["name: the tag '!!python/object/new:os.system' is not accepted; write plain values"],
    ),
    "a binary tag": (b"a: [!!binary aGk=]\n", ["a[0]: the tag '!!binary' is not accepted; write plain values"]),
    "two documents": (b"a: 1\n---\nb: 2\n", ["line 2: a second document begins; a file holds one"]),
    "a tab": (b"a:\n\tb: 1\n", ["line 2, column 1: is not YAML: a tab cannot indent; write spaces"]),
    "an open list": (
        b"a: [1, 2\n",
        ["line 2, column 1: is not YAML: while parsing a flow sequence did not find expected ',' or ']'"],
    ),
    "an open quote": (
        b"a: 'b\n",
        ["line 2, column 1: is not YAML: while scanning a quoted scalar found unexpected end of stream"],
    ),
    "more than 1 MiB": (b"#" * (2**20 + 1), ["is larger than 1 MiB, the most that is accepted"]),
}


@pytest.mark.parametrize(("data", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(folder, faults_of, data, expected):
    (folder / "pipeline.yaml").write_bytes(data)
    assert faults_of(lambda: read_pipeline("pipeline.yaml")) == [f"pipeline.yaml: {each}" for each in expected]


def test_files_that_cannot_be_read(folder, faults_of):
    (folder / "locked").mkdir()
    assert faults_of(lambda: read_pipeline("nothere.yaml")) == [
        "nothere.yaml: cannot be read: No such file or directory"
    ]
    assert faults_of(lambda: read_pipeline("locked")) == ["locked: cannot be read: Is a directory"]
    assert faults_of(lambda: read_pipeline("a\0b")) == ["'a\\x00b': cannot be read: this is no name of a file"]


@pytest.mark.parametrize("word", ["no", "No", "off", "on", "yes", "true", "FALSE"])
def test_unquoted_booleans_of_yaml_1_1_are_no_names(word):
    document, faults = parse_yaml("f", f"stages:\n  {word}: {{model: {word}}}\n  '{word}x': 1\n")
    assert faults == [(("stages", word), f"unquoted, {word} is a boolean in YAML; quote it: '{word}'")]
    assert document == {"stages": {word: {"model": word.lower() in {"on", "yes", "true"}}, f"{word}x": 1}}


def test_quoted_booleans_are_names(edited):
    edited(("  rank:", "  'on':"), ("{model: tf-lang-detect}", "{model: 'no'}"), ("tf-lang-detect:", "'no':"))
    pipeline = read_pipeline("pipeline.yaml").pipeline
    assert pipeline.stage("on").model == "ranker"
    assert pipeline.stage("lang-detect").model == "no"


def test_numbers_are_those_of_yaml_1_2():
    document, faults = parse_yaml("f", "[1e3, 1.5, .5, -2, +3, 1_000, 010, 0x1F, 1:30, 2024-01-01, .inf, -.INF, ~]")
    assert faults == []
    assert document == [
        1000.0, 1.5, 0.5, -2, 3, "1_000", "010", "0x1F", "1:30", "2024-01-01", math.inf, -math.inf, None
    ]  # fmt: skip
    assert math.isnan(parse_yaml("f", ".nan")[0])


def test_anchors_and_merges_are_ordinary_use():
    text = "a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\nd: {<<: [{z: 1}, *a]}\ne: {'<<': 1}\nf: !!str 7\n"
    document, faults = parse_yaml("f", text)
    assert faults == []
    assert document == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 2},
        "c": {"y": 3, "x": 1},
        "d": {"z": 1, "x": 1, "y": 2},
        "e": {"<<": 1},
        "f": "7",
    }


def test_the_first_of_equal_keys_counts():
    document, faults = parse_yaml("f", "a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert document == {"a": 1, "b": {"c": 1}}
    assert faults == [
        (("b", "c"), "is given twice, on lines 3 and 4; keep one"),
        (("a",), "is given twice, on lines 1 and 5; keep one"),
    ]


def test_pyyaml_without_libyaml_reads_the_same(example, monkeypatch):
    fast = parse_yaml("f", example)
    monkeypatch.setattr(yaml_document, "_LOADER", yaml.SafeLoader)
    assert parse_yaml("f", example) == fast
    with pytest.raises(InputError, match=r"f: line 1: is nested more than 32 levels deep"):
        parse_yaml("f", "[" * 5000)
    with pytest.raises(InputError, match=r"f: line 2, column 1: is not YAML: a tab cannot indent; write spaces"):
        parse_yaml("f", "a:\n\tb: 1\n")


def test_a_byte_order_mark_is_no_part_of_the_text(folder, example):
    (folder / "pipeline.yaml").write_text("\ufeff" + example.replace("\n", "\r\n"), newline="")
    assert read_pipeline("pipeline.yaml").pipeline.name == "social-media"
