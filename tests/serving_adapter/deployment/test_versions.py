"""Which version each stage runs as."""

from __future__ import annotations

import pytest

from inferline.errors import InputError
from serving_adapter.deployment.versions import asked_versions, versions_of, way_digest

STAGES = ("detect", "read")


def document(**entries):
    models = {"detector": {"onnx": "a.onnx"}, "reader": {"callable": "m:read"}, **entries}
    stages = {"detect": {"model": "detector"}, "read": {"model": "reader"}}
    return {"stages": stages, "models": models, "hardware": {"cpu": {"price": 1}, "gpu": {"price": 2, "limit": 3}}}


def digest(pipeline):
    return way_digest(pipeline, "read", "cpu")


RUNNING = {"detect": "1", "read": "1"}


def versions(pipeline, *, registered=None, running=None, asked=None, read="cpu"):
    return versions_of(pipeline, {"detect": "cpu", "read": read}, registered, running or {}, asked or {})


def test_a_timeline_of_entries():
    first, second = document(), document(reader={"callable": "m:read_again"})
    assert versions(first) == RUNNING
    assert versions(first, registered=first, running=RUNNING) == RUNNING
    then = versions(second, registered=first, running=RUNNING)
    assert then == {"detect": "1", "read": digest(second)}
    assert versions(second, registered=second, running=then) == then
    back = versions(first, registered=second, running=then)
    assert back == {"detect": "1", "read": digest(first)}
    assert len({then["read"], back["read"], "1"}) == 3


def test_what_is_asked_for_stays_until_the_entry_changes():
    first, second = document(), document(reader={"callable": "m:read_again"})
    then = versions(first, registered=first, running=RUNNING, asked={"detect": "1.1", "read": "2"})
    assert then == {"detect": "1.1", "read": "2"}
    assert versions(first, registered=first, running=then) == then
    assert versions(second, registered=first, running=then)["read"] == digest(second)
    assert versions(first, asked={"read": "7"}) == {"detect": "1", "read": "7"}


def test_samples_do_not_make_a_version_and_everything_else_does():
    of = {
        digest(document(reader=entry))
        for entry in (
            {"callable": "m:read"},
            {"callable": "m:read", "sample": "pages.jsonl"},
            {"callable": "m:read", "device": None},
        )
    }
    assert of == {digest(document())}
    assert digest(document(reader={"callable": "m:read", "device": "cuda"})) not in of
    other = document()
    other["stages"]["read"] = {"model": "detector"}
    assert digest(other) not in of


def test_hardware_makes_a_version_only_when_its_own_definition_changes():
    first = document()
    for change, read, same in (
        ({"cpu": {"price": 5, "limit": 9}}, "cpu", True),  # what a replica gets stays
        ({}, "gpu", True),
        ({"new": {"price": 1}}, "new", True),
        ({"gpu": {"price": 2, "cpus": 8}}, "cpu", True),  # the stage is not on it
        ({"cpu": {"price": 1, "cpus": 2}}, "cpu", False),
        ({"cpu": {"price": 1, "isolation": "gvisor"}}, "cpu", False),
    ):
        second = {**first, "hardware": {**first["hardware"], **change}}
        then = versions(second, registered=first, running=RUNNING, read=read)
        assert (then["read"] == "1") is same, change
        assert versions(second, registered=second, running=then, read=read) == then


def test_one_name_never_stands_for_two_models():
    with pytest.raises(InputError, match="stage 'read' runs as version '1' with another entry") as refused:
        versions(
            document(reader={"callable": "m:read_again"}), registered=document(), running=RUNNING, asked={"read": "1"}
        )
    assert len(refused.value.faults) == 1


def test_a_stage_that_somebody_registered_without_an_entry_gets_a_version_of_its_own():
    bare = {"stages": document()["stages"]}
    assert versions(document(), registered=bare, running=RUNNING)["read"] == digest(document())


def test_what_is_said_of_one_stage_counts():
    assert asked_versions(["read=2b", "2"], STAGES) == {"detect": "2", "read": "2b"}
    assert asked_versions([], STAGES) == {}


def test_every_fault_is_named():
    with pytest.raises(InputError) as refused:
        asked_versions(["raed=2", "a:b", "read=", "read=1,2"], STAGES)
    told = [fault.message for fault in refused.value.faults]
    assert told == [
        "'a:b' is no version: it has a ',' or a ':'",
        "no stage 'raed' (did you mean 'read'?)",
        "'' is blank; a name has at least one character",
        "'1,2' is no version: it has a ',' or a ':'",
    ]
