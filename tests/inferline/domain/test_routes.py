"""Routes: the same for every length of the trace and every configuration, and as frequent as they should be."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from inferline.domain import Edge, Hardware, Pipeline, Slo, Stage, draw_routes

QUERIES = 40_000


def pipeline(*children: tuple[str, float, str | None], seed: int = 0) -> Pipeline:
    """Return a pipeline in which the stage ``root`` has these children: name, probability and choice."""
    return Pipeline(
        name="fan",
        slo=Slo(latency_ns=10**8, percentile=Decimal(99)),
        stages=(
            Stage(name="root", model="m", hardware=("cpu",)),
            *(
                Stage(
                    name=name,
                    model="m",
                    hardware=("cpu",),
                    parents=(Edge(parent="root", probability=probability, choice=choice),),
                )
                for name, probability, choice in children
            ),
        ),
        hardware=(Hardware(name="cpu", price_nano_usd_per_hour=1),),
        seed=seed,
    )


FAN = pipeline(("a", 0.4, None), ("b", 0.07, None), ("x", 0.5, "kind"), ("y", 0.3, "kind"), ("z", 1.0, None))


def shares(routes) -> dict[str, float]:
    return {child: float(taken.mean()) for (_, child), taken in routes.items()}


def test_only_edges_that_are_not_always_taken_are_drawn():
    assert draw_routes(FAN, 5).keys() == {("root", child) for child in "abxy"}


def test_the_routes_of_the_first_queries_do_not_depend_on_the_number():
    many = draw_routes(FAN, QUERIES)
    for queries in (0, 1, 2, 7, 1_001):
        few = draw_routes(FAN, queries)
        assert all(few[edge].tolist() == many[edge][:queries].tolist() for edge in many)


def test_edges_are_taken_as_often_as_their_probability_says():
    for child, share in shares(draw_routes(FAN, QUERIES)).items():
        probability = FAN.stage(child).parents[0].probability
        assert abs(share - probability) < 5 * np.sqrt(probability * (1 - probability) / QUERIES)


def test_edges_of_one_choice_exclude_each_other_and_others_are_independent():
    routes = draw_routes(FAN, QUERIES)
    taken = {child: mask for (_, child), mask in routes.items()}
    assert not (taken["x"] & taken["y"]).any()
    for one, other in ("ab", "ax", "by"):
        together = taken[one].mean() * taken[other].mean()
        assert abs((taken[one] & taken[other]).mean() - together) < 5 * np.sqrt(together / QUERIES)


def test_a_choice_whose_probabilities_sum_to_1_always_takes_one_edge():
    routes = draw_routes(pipeline(*((f"c{i}", 0.1, "digit") for i in range(10))), QUERIES)
    assert (np.sum(list(routes.values()), axis=0) == 1).all()


def test_probabilities_0_and_1_are_certain():
    routes = draw_routes(pipeline(("never", 0.0, None), ("all", 1.0, "kind"), ("none", 0.0, "kind")), 1_000)
    assert shares(routes) == {"never": 0, "all": 1, "none": 0}


def test_an_edge_keeps_its_draws_when_the_pipeline_around_it_changes():
    alone = draw_routes(pipeline(("a", 0.4, None)), 1_000)
    among = draw_routes(FAN, 1_000)
    assert alone["root", "a"].tolist() == among["root", "a"].tolist()


def test_a_higher_probability_adds_queries_and_takes_none_away():
    lower = draw_routes(pipeline(("a", 0.4, None)), 1_000)["root", "a"]
    higher = draw_routes(pipeline(("a", 0.6, None)), 1_000)["root", "a"]
    assert (higher | ~lower).all()


def test_the_seed_of_the_pipeline_is_used_unless_another_is_given():
    edge = ("root", "a")
    by_pipeline = draw_routes(pipeline(("a", 0.4, None), seed=7), 1_000)[edge]
    assert by_pipeline.tolist() == draw_routes(pipeline(("a", 0.4, None)), 1_000, seed=7)[edge].tolist()
    assert by_pipeline.tolist() != draw_routes(pipeline(("a", 0.4, None)), 1_000)[edge].tolist()


def test_routes_are_read_only():
    routes = draw_routes(FAN, 3)
    with pytest.raises(ValueError, match="read-only"):
        routes["root", "a"][0] = True
    with pytest.raises(TypeError):
        routes["root", "a"] = np.ones(3, dtype=bool)
