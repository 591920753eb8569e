"""Pipelines on the core, as timelines in microseconds: queues, joins, deadlines, replicas that die."""

from __future__ import annotations

import numpy as np
import pytest

from inferline.domain import Edge, Hardware, Pipeline, Slo, Stage
from serving_adapter.core.pipelines import Graph, Output, PipelineCore, ServedPipeline
from tests.serving_adapter.core.surroundings import Serving


class Pipelines(Serving):
    """A pipeline ``p`` whose stages are the models ``p.NAME`` of version 1."""

    def __init__(self, deadline=1000, batch=1, **parents):
        super().__init__()
        self.pipelines = PipelineCore(self.models, self.clock, self, np.random.default_rng(0))
        stages = tuple(
            Stage(
                name=name,
                model="m",
                hardware=("cpu",),
                parents=tuple(Edge(parent=e) if isinstance(e, str) else Edge(parent=e[0], when=e[1]) for e in edges),
            )
            for name, edges in parents.items()
        )
        slo = Slo(latency_ns=1, percentile=99)
        hardware = (Hardware(name="cpu", price_nano_usd_per_hour=1),)
        graph = Graph.of(Pipeline(name="p", slo=slo, stages=stages, hardware=hardware))
        self.served = ServedPipeline(
            "p",
            graph,
            keys=tuple((f"p.{name}", "1") for name in graph.names),
            input_types=("strings",) * len(graph.names),
            deadline_ns=deadline * 1000,
        )
        for name in graph.names:
            self.version(f"p.{name}:1", batch, patient=True, cached=False)
        self.ended = []

    def walk(self, *texts):
        for text in texts:
            self.pipelines.predict(self.served, self.served.entry_inputs(Output(text.encode())), self._end(text))

    def _end(self, text):
        def end(reply):
            self.ended.append(reply)
            outputs = " ".join(f"{name}:{output.frame.decode()}" for name, output in reply.outputs.items())
            self.note(f"{text} = {outputs or reply.explanation}")

        return end

    def stage(self, name, number=0):
        self.replica(f"p.{name}:1", number)

    def reply(self, name, *outputs, number=0):
        self.answer(f"p.{name}:1/{number}", *outputs)


def test_a_query_goes_from_queue_to_queue():
    s = Pipelines(a=[], b=["a"])
    s.stage("a")
    s.stage("b")
    s.at(0, s.walk, "x", "y")
    s.at(10, s.reply, "a")
    s.at(20, s.reply, "b")
    s.at(25, s.reply, "a")
    s.at(40, s.reply, "b")
    assert s.log == [
        (0, "p.a:1/0 takes x"),
        (10, "p.a:1/0 takes y"),
        (10, "p.b:1/0 takes X"),
        (20, "x = b:X"),
        (25, "p.b:1/0 takes Y"),
        (40, "y = b:Y"),
    ]
    visits = [(visit.stage, visit.waited_ns // 1000, visit.service_ns // 1000) for visit in s.ended[1].visits]
    assert visits == [("a", 10, 15), ("b", 0, 15)]
    assert [reply.latency_ns // 1000 for reply in s.ended] == [20, 40]
    assert (s.pipelines.in_flight, s.clock.set) == (0, [])


def test_identical_queries_are_both_run():
    s = Pipelines(a=[])
    s.stage("a")
    s.at(0, s.walk, "x", "x")
    s.at(5, s.reply, "a")
    s.at(9, s.reply, "a")
    assert [when for when, text in s.log if "takes" in text] == [0, 5]


def test_a_join_by_conditions():
    s = Pipelines(a=[], b=[("a", "output == 'LONG'")], c=["a", "b"])
    for name in "abc":
        s.stage(name)
    s.at(0, s.walk, "short")
    s.at(1, s.reply, "a")
    s.at(2, s.reply, "c", "1")
    s.at(3, s.walk, "long")
    s.at(4, s.reply, "a")
    s.at(5, s.reply, "b", "wide")
    s.at(6, s.reply, "c", "2")
    assert [text for _, text in s.log if "p.c" in text or "=" in text] == [
        'p.c:1/0 takes {"a":"SHORT"}',
        "short = c:1",
        'p.c:1/0 takes {"a":"LONG","b":"wide"}',
        "long = c:2",
    ]


def test_queries_wait_for_the_first_replica_and_for_the_next_one():
    s = Pipelines(a=[])
    s.at(0, s.walk, "x")
    s.at(50, s.stage, "a")
    s.at(60, s.die, "p.a:1/0")
    s.at(100, s.stage, "a", 1)
    s.at(110, s.reply, "a", number=1)
    assert s.log == [(50, "p.a:1/0 takes x"), (100, "p.a:1/1 takes x"), (110, "x = a:X")]


def test_at_the_deadline_a_query_is_given_up_and_its_work_is_dropped():
    s = Pipelines(deadline=100, a=[], b=["a"])
    s.stage("a")
    s.at(0, s.walk, "x", "y")
    s.at(90, s.reply, "a")
    s.at(150, s.stage, "b")
    s.at(160, s.reply, "a")
    assert s.log == [
        (0, "p.a:1/0 takes x"),
        (90, "p.a:1/0 takes y"),
        (100, "x = the deadline of the query has come"),
        (100, "y = the deadline of the query has come"),
        (150, "p.b:1 drops 1, late"),
    ]


def test_a_query_that_takes_replicas_down_is_given_up():
    s = Pipelines(a=[])
    s.stage("a")
    s.at(0, s.walk, "poison")
    for number in (1, 2, 3):
        s.at(number * 10, s.stage, "a", number)
        s.at(number * 10 + 5, s.die, f"p.a:1/{number - 1}")
    assert s.log[-2:] == [
        (35, "p.a:1 drops 1, lost"),
        (35, "poison = stage 'a': it was lost with its replicas too often"),
    ]


def test_an_output_that_the_next_stage_cannot_take_or_decide_on():
    s = Pipelines(a=[], b=[("a", "output.kind == 1")])
    s.stage("a")
    s.at(0, s.walk, "x")
    s.at(1, s.reply, "a", "{}")
    assert "stage 'a', edge to 'b'" in s.log[-1][1]
    assert s.pipelines.in_flight == 0


def test_a_stage_whose_model_is_gone():
    s = Pipelines(a=[], b=["a"])
    s.stage("a")
    s.delete("p.b:1")
    s.at(0, s.walk, "x")
    s.at(1, s.reply, "a")
    assert s.log[-1] == (1, "x = stage 'b': its model is not registered")


def test_an_empty_input_cannot_travel():
    s = Pipelines(a=[])
    with pytest.raises(ValueError, match="stage 'a': an input without a byte"):
        s.walk("")


def test_a_full_queue_downstream_ends_the_query():
    s = Pipelines(a=[], b=["a"])
    s.version("p.b:1", 1, patient=True, cached=False, most_queued=1)
    s.stage("a")
    s.at(0, s.walk, "x", "y")
    s.at(1, s.reply, "a")
    s.at(2, s.reply, "a")
    assert s.log[-2:] == [(2, "p.b:1 drops 1, full"), (2, "y = stage 'b': its queue is full")]


def test_a_batch_size_that_changes_loses_nobody():
    s = Pipelines(a=[])
    s.stage("a")
    s.at(0, s.walk, "x", "y", "z")
    s.at(5, s.version, "p.a:1", 4, patient=True, cached=False)
    s.at(10, s.reply, "a")
    s.at(20, s.reply, "a")
    assert s.log == [
        (0, "p.a:1/0 takes x"),
        (10, "p.a:1/0 takes y z"),
        (10, "x = a:X"),
        (20, "y = a:Y"),
        (20, "z = a:Z"),
    ]
