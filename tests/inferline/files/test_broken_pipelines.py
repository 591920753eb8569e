"""Every way to break a pipeline file that we know of, with the exact faults that are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from inferline.files import load, schema
from inferline.files.documents.yaml_document import parse_yaml

TABLE = Path(__file__).with_name("broken_pipelines.txt")
ESCAPES = {"\\n": "\n", "\\t": "\t", "\\\\": "\\"}


def cases() -> dict[str, tuple[list[tuple[str, str]], list[str]]]:
    """Read the table: the replacements and the faults of each case, by its name."""
    table = {}
    for case in re.split(r"^# ", TABLE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name, *lines = [line for line in case.split("\n") if line and not line.startswith("== ")]
        old, new = ([unescaped(line[2:]) for line in lines if line[0] == sign] for sign in "-+")
        faults = [line for line in lines if line[0] not in "-+"]
        table[name] = (list(zip(old, new, strict=True)), faults)
    return table


def unescaped(text: str) -> str:
    return re.sub(r"\\[nt\\]", lambda escape: ESCAPES[escape[0]], text)


CASES = cases()


@pytest.mark.parametrize(("edits", "expected"), CASES.values(), ids=CASES)
def test_every_fault_is_named_exactly(edited, faults_of, edits, expected):
    edited(*edits)
    assert faults_of(lambda: load("pipeline.yaml")) == expected


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith("*")])
def test_the_schema_refuses_it_too(edited, name):
    edited(*CASES[name][0])
    document, _ = parse_yaml("pipeline.yaml", Path("pipeline.yaml").read_text())
    assert list(Draft202012Validator(schema()).iter_errors(document))
