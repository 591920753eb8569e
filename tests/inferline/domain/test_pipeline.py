"""Pipelines: what is refused, and the order of the stages."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.domain import Edge, Hardware, Pipeline, Slo, Stage
from inferline.domain.pipeline import find_cycle

SLO = Slo(latency_ns=300_000_000, percentile=Decimal(99))
CPU = Hardware(name="cpu", price_nano_usd_per_hour=1)


def stage(name: str, *parents: str, hardware: tuple[str, ...] = ("cpu",)) -> Stage:
    return Stage(name=name, model=name, parents=tuple(Edge(parent=parent) for parent in parents), hardware=hardware)


def pipeline(*stages: Stage, hardware: tuple[Hardware, ...] = (CPU,)) -> Pipeline:
    return Pipeline(name="p", slo=SLO, stages=stages, hardware=hardware)


def test_parents_come_first_and_ties_keep_the_given_order():
    diamond = pipeline(stage("join", "left", "right"), stage("right", "top"), stage("left", "top"), stage("top"))
    assert [each.name for each in diamond.stages] == ["top", "right", "left", "join"]
    apart = pipeline(stage("c"), stage("a"), stage("b"))
    assert [each.name for each in apart.stages] == ["c", "a", "b"]


@settings(deadline=None)
@given(st.data())
def test_the_order_of_any_acyclic_graph_is_topological(data):
    count = data.draw(st.integers(1, 8))
    stages = [
        stage(str(i), *(str(j) for j in range(i) if data.draw(st.booleans(), label=f"{j} to {i}")))
        for i in range(count)
    ]
    made = pipeline(*data.draw(st.permutations(stages)))
    place = {each.name: at for at, each in enumerate(made.stages)}
    assert len(place) == count
    assert all(place[edge.parent] < place[each.name] for each in made.stages for edge in each.parents)
    # What is in order already stays as it is.
    assert pipeline(*made.stages).stages == made.stages


def test_children_are_found_with_their_edges():
    made = pipeline(stage("a"), stage("b", "a"), stage("c", "a", "b"))
    assert [(child.name, edge.parent) for child, edge in made.children("a")] == [("b", "a"), ("c", "a")]
    assert made.children("c") == ()
    assert made.stage("b").parents[0].always_taken
    assert made.unit("cpu") is CPU
    assert [each.is_entry for each in made.stages] == [True, False, False]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((), "at least one stage"),
        ((stage("a"), stage("a")), "names used once"),
        ((stage("a", "b"),), "stage 'a': 'b' is not declared"),
        ((stage("a", hardware=("tpu",)),), "stage 'a': 'tpu' is not declared"),
        ((stage("a", "a"),), "stages form a cycle: a -> a"),
        ((stage("a", "c"), stage("b", "a"), stage("c", "b"), stage("d")), "stages form a cycle"),
        ((stage("a"), stage("b", "a", "a")), "stage 'b': a parent is named twice"),
    ],
)
def test_what_is_no_pipeline_is_refused(stages, message):
    with pytest.raises(ValueError, match=message):
        pipeline(*stages)


def test_hardware_names_are_used_once():
    with pytest.raises(ValueError, match="names used once"):
        pipeline(stage("a"), hardware=(CPU, CPU))


def test_a_cycle_is_found_whole():
    cycle = find_cycle({"a": ["c"], "b": ["a"], "c": ["b"], "d": ["a"]})
    assert cycle[0] == cycle[-1]
    assert sorted(cycle[1:]) == ["a", "b", "c"]
    assert find_cycle({"a": [], "b": ["a"]}) == ()


def test_parts_out_of_range_are_refused():
    for probability in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="outside"):
            Edge(parent="a", probability=probability)
    with pytest.raises(ValueError, match="is no range"):
        Stage(name="a", model="a", hardware=("cpu",), min_replicas=3, max_replicas=2)
    with pytest.raises(ValueError, match="below 1"):
        Stage(name="a", model="a", hardware=("cpu",), max_batch=0)
    with pytest.raises(ValueError, match="price"):
        Hardware(name="cpu", price_nano_usd_per_hour=-1)
    with pytest.raises(ValueError, match="limit"):
        Hardware(name="cpu", price_nano_usd_per_hour=1, limit=-1)


def test_equal_pipelines_are_equal_and_hash_alike():
    one, other = (pipeline(stage("a"), stage("b", "a")) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
