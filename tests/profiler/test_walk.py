"""Samples through a pipeline: who is run, what each stage is fed, how often conditions hold."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from inferline.domain import Edge, Hardware, Pipeline, Slo, Stage
from inferline.errors import InputError
from profiler.inputs import Inputs
from profiler.targets import model_entries
from profiler.walk import Route, conditions_of, route, walk, wilson

CPU = Hardware(name="cpu", price_nano_usd_per_hour=1)


def pipeline(**parents: list[Edge]) -> Pipeline:
    return Pipeline(
        name="p",
        slo=Slo(latency_ns=10**9, percentile=99),
        stages=tuple(
            Stage(name=name, model=f"m-{name}", parents=tuple(edges), hardware=("cpu",))
            for name, edges in parents.items()
        ),
        hardware=(CPU,),
    )


def when(parent: str, condition: str, **more) -> Edge:
    return Edge(parent=parent, when=condition, **more)


def walked(graph: Pipeline, way: Route, sources, models, *, samples=64, input_types=None):
    """Walk with models that are functions of one JSON value; return what came of it and the stages that ran."""
    ran = []

    def answer(stage, frames):
        ran.append((stage.name, len(frames)))
        return [json.dumps(models[stage.name](json.loads(frame))).encode() for frame in frames]

    raw = {
        stage.model: {"callable": "m:f", "input_type": (input_types or {}).get(stage.name)} for stage in graph.stages
    }
    came = walk(
        "pipeline.yaml",
        graph,
        model_entries(Path("pipeline.yaml"), raw),
        way,
        {name: given if isinstance(given, Inputs) else Inputs(values=given) for name, given in sources.items()},
        conditions_of(graph),
        answer,
        samples=samples,
        seed=0,
    )
    return came, ran


def edges_of(came):
    return [(each.parent, each.child, each.taken, each.visits) for each in came.edges]


def test_nothing_is_run_without_conditions_when_all_have_inputs():
    graph = pipeline(a=[], b=[Edge(parent="a")])
    assert route(graph, ["a", "b"], {"b"}) == Route(fed=("a", "b"), run=())
    assert route(graph, ["a"], ()) == Route(fed=("a",), run=())


def test_only_what_is_upstream_of_missing_inputs_is_run():
    graph = pipeline(
        a=[], b=[Edge(parent="a")], c=[Edge(parent="b")], x=[], y=[Edge(parent="x")], z=[Edge(parent="c")]
    )
    assert route(graph, ["c"], ()) == Route(fed=("a",), run=("a", "b"))
    assert route(graph, ["c"], {"b"}) == Route(fed=("b",), run=("b",))
    assert route(graph, ["c", "y"], ()) == Route(fed=("a", "x"), run=("a", "b", "x"))


def test_a_condition_on_a_chosen_stage_has_it_run():
    graph = pipeline(a=[], b=[when("a", "output > 1", probability=0.5)])
    assert route(graph, ["a"], ()) == Route(fed=("a",), run=("a",))
    assert route(graph, ["b"], {"b"}) == Route(fed=("b",), run=())


def test_an_edge_that_is_never_taken_brings_nothing():
    graph = pipeline(a=[], b=[], c=[Edge(parent="a", probability=0.0), Edge(parent="b")])
    assert route(graph, ["c"], ()) == Route(fed=("b",), run=("b",))


def test_outputs_become_inputs_and_a_join_gets_an_object_of_what_was_taken():
    graph = pipeline(
        a=[],
        b=[when("a", "output.n > 1", probability=0.5)],
        c=[Edge(parent="a", probability=0.1), Edge(parent="b")],
    )
    way = route(graph, ["a", "b", "c"], ())
    came, ran = walked(graph, way, {"a": [0, 1, 2, 3]}, {"a": lambda n: {"n": n}, "b": lambda x: x["n"] * 10})
    assert ran == [("a", 4), ("b", 2)]
    assert came.inputs["a"] == [0, 1, 2, 3]
    assert came.inputs["b"] == [{"n": 2}, {"n": 3}]
    assert came.inputs["c"] == [
        {"a": {"n": 0}}, {"a": {"n": 1}}, {"a": {"n": 2}, "b": 20}, {"a": {"n": 3}, "b": 30},
    ]  # fmt: skip
    assert edges_of(came) == [("a", "b", 2, 4)]
    assert came.edges[0].share == 0.5
    assert not came.edges[0].made_up


def test_a_stage_that_no_sample_reaches_has_no_inputs_and_its_edges_no_visits():
    graph = pipeline(a=[], b=[when("a", "output > 9")], c=[when("b", "output > 9")])
    came, ran = walked(graph, route(graph, ["a", "b", "c"], ()), {"a": [1, 2]}, {"a": lambda x: x})
    assert ran == [("a", 2)]
    assert (came.inputs["b"], came.inputs["c"]) == ([], [])
    assert edges_of(came) == [("a", "b", 0, 2), ("b", "c", 0, 0)]
    assert math.isnan(came.edges[1].share)


def test_of_conditions_that_share_a_choice_the_first_one_wins():
    graph = pipeline(
        a=[],
        b=[when("a", "output > 1", probability=0.5, choice="kind")],
        c=[when("a", "output > 0", probability=0.5, choice="kind")],
        d=[when("a", "output > 0", probability=0.5)],
    )
    came, _ = walked(graph, route(graph, ["a"], ()), {"a": [0, 1, 2, 3]}, {"a": lambda x: x})
    assert edges_of(came) == [("a", "b", 2, 4), ("a", "c", 1, 4), ("a", "d", 3, 4)]


def test_fewer_samples_are_fed_again_but_counted_once():
    graph = pipeline(a=[], b=[], c=[Edge(parent="a"), Edge(parent="b")], d=[when("b", "output > 1")])
    models = {"a": lambda x: x, "b": lambda x: x}
    came, ran = walked(graph, route(graph, ["b", "c"], ()), {"a": [1, 2, 3, 4], "b": [1, 2]}, models)
    assert ran == [("a", 4), ("b", 4)]
    assert came.inputs["c"] == [{"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 3, "b": 1}, {"a": 4, "b": 2}]
    assert edges_of(came) == [("b", "d", 1, 2)]


def test_more_inputs_than_samples_are_drawn_from():
    graph = pipeline(a=[], b=[when("a", "output >= 500")])
    came, ran = walked(graph, route(graph, ["a"], ()), {"a": list(range(1000))}, {"a": lambda x: x}, samples=50)
    assert ran == [("a", 50)]
    assert came.inputs["a"] == list(range(1000))
    (edge,) = came.edges
    assert edge.visits == 50
    assert edge.interval[0] < 0.5 < edge.interval[1]


def test_estimates_from_made_up_inputs_say_so_all_the_way_down():
    graph = pipeline(a=[], b=[Edge(parent="a")], c=[when("b", "output > 1")])
    sources = {"a": Inputs(values=[1, 2], made_up=True)}
    came, _ = walked(graph, route(graph, ["b"], ()), sources, {"a": lambda x: x, "b": lambda x: x})
    assert [each.made_up for each in came.edges] == [True]


def test_an_output_that_the_next_stage_does_not_take_names_its_type():
    graph = pipeline(a=[], b=[Edge(parent="a")], c=[Edge(parent="b")])
    with pytest.raises(InputError, match=r"models\.m-b\.input_type: floats are expected, and stage 'b' is handed"):
        walked(graph, route(graph, ["c"], ()), {"a": [1]}, {"a": lambda _: "cat"}, input_types={"b": "floats"})


def test_a_condition_that_does_not_apply_names_itself_and_the_output():
    graph = pipeline(a=[], b=[Edge(parent="a")], c=[Edge(parent="a"), when("b", "output.x > 1")])
    with pytest.raises(InputError) as caught:
        walked(graph, route(graph, ["b"], ()), {"a": [1]}, {"a": lambda x: x, "b": lambda _: "cat"})
    assert str(caught.value).startswith("pipeline.yaml: stages.c.after[1].when: cannot be decided on an output")
    assert "'cat'" in str(caught.value)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilsons(counts):
    taken, visits = counts
    expected = binomtest(taken, visits).proportion_ci(0.95, method="wilson")
    assert wilson(taken, visits) == pytest.approx((expected.low, expected.high), abs=1e-9)
