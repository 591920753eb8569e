"""Walks through graphs, by hand: which stages are entered, passed by, and ended at."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferline.domain import Edge, Hardware, Pipeline, Slo, Stage
from serving_adapter.core.pipelines.graph import Graph, Walk, WalkError
from serving_adapter.core.pipelines.outputs import Output, entry_input, joined, stage_input


def graph(**parents):
    """Return a graph; each stage with its edges as (parent, options) or names."""
    stages = tuple(
        Stage(
            name=name,
            model="m",
            hardware=("cpu",),
            parents=tuple(Edge(parent=e) if isinstance(e, str) else Edge(parent=e[0], **e[1]) for e in edges),
        )
        for name, edges in parents.items()
    )
    hardware = (Hardware(name="cpu", price_nano_usd_per_hour=1),)
    return Graph.of(Pipeline(name="p", slo=Slo(latency_ns=1, percentile=99), stages=stages, hardware=hardware))


class Query:
    """A query that is told what each stage returns, and logs what it enters."""

    def __init__(self, of, seed=0):
        self.graph, self.walk, self.rng = of, Walk(of), np.random.default_rng(seed)
        self.entered = [of.names[place] for place in of.entries]

    def leave(self, name, text="x"):
        place, output = self.graph.names.index(name), Output(text.encode())
        entered = self.walk.leave(place, output, self.graph.taken(place, output, self.rng))
        self.entered += [self.graph.names[each] for each in entered]
        return [self.graph.names[each] for each in entered]

    @property
    def ends(self):
        return {self.graph.names[place]: output.frame.decode() for place, output in self.walk.ends.items()}

    def brought(self, name):
        place = self.graph.names.index(name)
        return {self.graph.names[each]: out.frame.decode() for each, out in self.walk.brought(place).items()}


WHEN = {"when": "output.kind == 'text'"}


def test_stages_in_a_row():
    query = Query(graph(a=[], b=["a"], c=["b"]))
    assert (query.leave("a", "1"), query.leave("b", "2"), query.leave("c", "3")) == (["b"], ["c"], [])
    assert (query.walk.is_over, query.ends) == (True, {"c": "3"})


def test_a_join_waits_for_the_taken_parents_only():
    of = graph(page=[], orient=[("page", {"when": "output.vertical"})], read=["page", "orient"])
    straight, turned = Query(of), Query(of)
    assert straight.leave("page", '{"vertical": false}') == ["read"]
    assert straight.brought("read") == {"page": '{"vertical": false}'}
    assert turned.leave("page", '{"vertical": true}') == ["orient"]
    assert turned.leave("orient", "up") == ["read"]
    assert turned.brought("read") == {"page": '{"vertical": true}', "orient": "up"}


def test_a_stage_that_is_passed_by_passes_its_children_by():
    of = graph(a=[], b=[("a", WHEN)], c=["b"], d=["a", "c"])
    query = Query(of)
    assert query.leave("a", '{"kind": "image"}') == ["d"]
    query.leave("d", "done")
    assert (query.walk.is_over, query.ends) == (True, {"d": "done"})


def test_a_query_ends_wherever_no_edge_is_taken():
    query = Query(graph(fast=[], slow=[("fast", {"when": "output < 0.6"})]))
    query.leave("fast", "0.9")
    assert (query.walk.is_over, query.ends) == (True, {"fast": "0.9"})


def test_of_a_choice_the_first_condition_that_holds_is_taken():
    of = graph(
        a=[],
        b=[("a", {"when": "output > 1", "choice": "k"})],
        c=[("a", {"when": "output > 0", "choice": "k"})],
        d=[("a", {"probability": 1.0, "choice": "k"})],
    )
    assert [Query(of).leave("a", text) for text in ("2", "1", "0")] == [["b"], ["c"], ["d"]]


def test_coins_of_a_choice_exclude_each_other_and_keep_their_shares():
    of = graph(a=[], b=[("a", {"probability": 0.5, "choice": "k"})], c=[("a", {"probability": 0.3, "choice": "k"})])
    rng = np.random.default_rng(1)
    taken = np.array([of.taken(0, Output(b""), rng) for _ in range(20_000)])
    assert not (taken[:, 0] & taken[:, 1]).any()
    assert taken.mean(axis=0) == pytest.approx([0.5, 0.3], abs=0.02)


def test_a_condition_that_cannot_be_decided_names_the_edge():
    with pytest.raises(WalkError, match=r"stage 'a', edge to 'b': .*has no key 'kind'"):
        Query(graph(a=[], b=[("a", WHEN)])).leave("a", '{"sort": 1}')


def test_what_travels():
    brought = {"a": Output(b'{"x":1}'), 'b"': Output(b"plain")}
    assert joined(brought).frame == b'{"a":{"x":1},"b\\"":"plain"}'
    assert entry_input(Output(b'"cat"'), "strings") == b"cat"
    assert entry_input(Output(b'{"a": 1}'), "strings") == b'{"a":1}'
    assert stage_input(Output(b"1e1"), "strings") == b"1e1"
    assert stage_input(Output(b"[1, 2]"), "doubles") == np.array([1.0, 2.0]).tobytes()
    assert stage_input(Output(b" untouched "), "json") == b" untouched "
    with pytest.raises(ValueError, match="no array of doubles"):
        stage_input(Output(b'"cat"'), "doubles")


@st.composite
def random_graphs(draw):
    count = draw(st.integers(1, 6))
    edges = {
        f"s{i}": [
            (f"s{j}", {"probability": draw(st.sampled_from([0.0, 0.5, 1.0]))})
            for j in range(i)
            if draw(st.booleans())
        ]
        for i in range(count)
    }
    return graph(**edges)


@given(random_graphs(), st.randoms(use_true_random=False))
def test_whatever_the_order_every_stage_is_entered_once_and_the_walk_ends(of, random):
    query = Query(of, seed=random.randrange(1000))
    waiting = list(query.entered)
    while waiting:
        assert not query.walk.is_over
        waiting += query.leave(waiting.pop(random.randrange(len(waiting))))
    assert query.walk.is_over
    assert len(set(query.entered)) == len(query.entered)
    assert query.ends.keys() <= set(query.entered)
    assert query.ends
