"""Names for names that Kubernetes does not take."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from serving_adapter.replicas import SetKey
from serving_adapter.replicas.kubernetes.names import core_name, label_value, name_of, set_name

LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")  # RFC 1035, which is stricter than RFC 1123
VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?")

# Names that differ little, and in what is thrown away.
ODD = st.text(max_size=60) | st.text(alphabet="aA1-_. ", max_size=50) | st.text(alphabet="ab-", max_size=50)


@given(ODD)
def test_a_name_is_one_that_a_service_can_have(text):
    for name in (name_of(text), core_name(text)):
        assert LABEL.fullmatch(name)
        assert len(name) <= 46  # a Pod's has 17 more, and 63 at most


@given(ODD, ODD)
def test_two_texts_get_two_names(one, other):
    assert (name_of(one) == name_of(other)) == (one == other)
    assert (label_value(one) == label_value(other)) == (one == other)


def test_the_name_of_another_name_is_marked_too():
    marked = name_of("Social Media")
    assert name_of(marked) != marked


@given(ODD)
def test_a_labels_value_is_one(text):
    assert VALUE.fullmatch(label_value(text))
    assert len(label_value(text)) <= 63


@given(st.tuples(ODD, ODD, ODD, ODD), st.tuples(ODD, ODD, ODD, ODD))
def test_two_sets_get_two_names(one, other):
    names = [set_name(deployment, SetKey(*key)) for deployment, *key in (one, other)]
    assert (names[0] == names[1]) == (one == other)
    assert all(LABEL.fullmatch(name) and len(name) <= 46 for name in names)


def test_dashes_do_not_make_two_sets_one():
    assert set_name("a-b", SetKey("c", "1", "x")) != set_name("a", SetKey("b-c", "1", "x"))


def test_what_can_stand_stands():
    assert name_of("social-media") == "social-media"
    assert core_name("social-media") == "social-media-core"
    assert label_value("V1.2_b") == "V1.2_b"
