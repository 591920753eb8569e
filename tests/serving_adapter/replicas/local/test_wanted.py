"""What is kept of what was asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.errors import OutsideError
from serving_adapter.replicas import CoreAddress, CoreOptions
from serving_adapter.replicas.local.messages import Reply, Request, decode, encode
from serving_adapter.replicas.local.wanted import Asked, Wanted, read_wanted, write_wanted


def test_what_is_written_is_read(place, tmp_path):
    one = Asked(
        replicas=place.wanted(2, options={"shape": {"x": [3, None]}, "timeout": "3s"}), core=CoreAddress(host="h")
    )
    other = Asked(replicas=place.wanted(0, stage="häß/lich", cpus=0.5), core=CoreAddress(host="::1"))
    wanted = Wanted(core=CoreOptions(arguments=("--seed", "3"))).having(one).having(other)
    path = tmp_path / "wanted.json"
    assert read_wanted(path) == Wanted()
    write_wanted(path, wanted)
    assert read_wanted(path) == wanted
    assert [each.name for each in tmp_path.glob("wanted*")] == ["wanted.json"]
    write_wanted(path, Wanted())
    assert not path.exists()


def test_a_key_is_there_once(place):
    one, other = (Asked(replicas=place.wanted(2, version=version), core=CoreAddress(host="h")) for version in "12")
    more = replace(one, replicas=place.wanted(5))
    wanted = Wanted().having(one).having(other).having(more)
    assert wanted.sets == (more, other)
    assert wanted.without(one.replicas.key).sets == (other,)
    assert wanted.without(one.replicas.key).without(other.replicas.key).is_empty
    assert not Wanted().having(replace(one, replicas=place.wanted(0))).is_empty


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read (Input data was truncated)"),
        ('{"sets": [{}]}', "cannot be read (Object missing required field `replicas` - at `$.sets[0]`)"),
        ('{"format": 2}', "has format 2, this version reads 1"),
        ('{"core": {"host": 3}}', "cannot be read (Expected `str`, got `int` - at `$.core.host`)"),
    ],
)
def test_what_is_not_understood_is_not_forgotten(tmp_path, text, message):
    path = tmp_path / "wanted.json"
    path.write_text(text)
    with pytest.raises(OutsideError) as caught:
        read_wanted(path)
    assert str(caught.value).startswith(f"{path} {message}; remove it to forget")
    assert path.read_text() == text


def test_what_cannot_be_written_leaves_the_former(tmp_path, place):
    path = tmp_path / "wanted.json"
    write_wanted(path, Wanted(core=CoreOptions()))
    path.with_suffix(".partial").mkdir()
    with pytest.raises(OutsideError, match="nothing was changed"):
        write_wanted(path, Wanted(core=CoreOptions(query_port=5)))
    assert read_wanted(path) == Wanted(core=CoreOptions())


def test_messages_arrive_as_they_were(place):
    wanted = place.wanted(3, options={"command": ["a", "b"]})
    for request in (
        Request(do="start", wanted=wanted, core=CoreAddress(host="h")),
        Request(do="start_core", options=CoreOptions()),
        Request(do="stop", key=wanted.key),
        Request(do="stop"),
    ):
        line = encode(request)
        assert b"\n" not in line
        assert decode(line, Request) == request
    reply = Reply(core=CoreAddress(host="h"), requested=((wanted.key, 3),), error="a\nb")
    assert decode(encode(reply), Reply) == reply
    assert b"\n" not in encode(reply)


@given(st.one_of(st.binary(max_size=50), st.text('[]{}",:0123 dostarcel', max_size=50).map(str.encode)))
@settings(deadline=None)
def test_garbage_is_refused_in_one_way(line):
    with pytest.raises(ValueError, match=r"JSON|Input|Expected|Object|Invalid|utf-8"):
        decode(line, Request)


def test_deep_garbage_is_refused_too():
    with pytest.raises(ValueError, match=r"Expected `object \| null`, got `array`"):
        decode(b'{"do": "start", "wanted": ' + b"[" * 100_000, Request)
