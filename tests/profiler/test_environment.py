"""The record of where a row was measured, and its id."""

from __future__ import annotations

import getpass
import json
import platform
import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from inferline.domain import Hardware
from profiler.environment import environment_id, environment_of
from serving_adapter.machine import Accelerator, Machine, Placement

ONE = Hardware(name="one", price_nano_usd_per_hour=1)
MACHINE = Machine(cores=(0, 1), accelerators=(Accelerator(index=0, name="K80", driver="1"),), name="Some CPU")
PLACEMENT = Placement(hardware=ONE, cores=(1,))


def test_the_record_says_what_a_reader_needs_and_names_nobody():
    record = environment_of(MACHINE, PLACEMENT)
    assert record["machine"]["cpu"] == "Some CPU"
    assert record["machine"]["accelerators"][0]["driver"] == "1"
    assert record["machine"]["logical_cores"] >= 1
    assert record["machine"]["memory_gib"] >= 1
    assert record["software"]["python"] == platform.python_version()
    assert {"inferline", "numpy"} <= set(record["software"])
    assert record["placement"] == {
        "cpus": 1.0,
        "cores": 1,
        "threads": 1,
        "accelerators": [],
        "profiler_apart": True,
    }
    assert record["start"]["cores"] == [1]
    assert re.fullmatch(r"env-[0-9a-f]{10}", record["id"])
    text = json.dumps(record)
    assert platform.node() not in text
    assert "/" not in text.replace("(R)", "") or "home" not in text
    assert f'"{getpass.getuser()}"' not in text


def test_the_id_is_that_of_the_machine_and_not_of_the_moment():
    record = environment_of(MACHINE, PLACEMENT)
    elsewhere = environment_of(MACHINE, replace(PLACEMENT, cores=(0,)))
    assert elsewhere["id"] == record["id"]
    assert environment_id({**record, "start": {}, "replica": {"device": "cuda"}}) == record["id"]
    newer = {**record, "software": {**record["software"], "numpy": "99"}}
    assert environment_id(newer) != record["id"]
    assert environment_of(replace(MACHINE, name="Other CPU"), PLACEMENT)["id"] != record["id"]


@given(st.dictionaries(st.sampled_from("abcd"), st.integers() | st.text()))
def test_the_order_of_keys_does_not_matter(record):
    assert environment_id(record) == environment_id(dict(reversed(record.items())))
