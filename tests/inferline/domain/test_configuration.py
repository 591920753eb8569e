"""Configurations: cost, units, limits; equal whatever the order."""

from __future__ import annotations

import pickle
from collections import Counter
from decimal import Decimal

import pytest

from inferline.domain import Configuration, Hardware, Pipeline, Slo, Stage, StageConfiguration

PIPELINE = Pipeline(
    name="two",
    slo=Slo(latency_ns=10**8, percentile=Decimal(99)),
    stages=(
        Stage(name="a", model="a", hardware=("cpu", "gpu")),
        Stage(name="b", model="b", hardware=("cpu", "gpu")),
    ),
    hardware=(
        Hardware(name="cpu", price_nano_usd_per_hour=66_500_000),
        Hardware(name="gpu", price_nano_usd_per_hour=700_500_000, limit=4),
    ),
)


def on(hardware: str, replicas: int) -> StageConfiguration:
    return StageConfiguration(hardware=hardware, max_batch=8, replicas=replicas)


def test_the_cost_is_the_exact_sum_over_replicas():
    configuration = Configuration({"a": on("cpu", 3), "b": on("gpu", 2)})
    assert configuration.cost_nano_usd_per_hour(PIPELINE) == 3 * 66_500_000 + 2 * 700_500_000


def test_units_of_all_stages_count_towards_a_limit():
    within = Configuration({"a": on("gpu", 1), "b": on("gpu", 3)})
    beyond = within.with_stage("a", on("gpu", 2))
    assert within.units() == Counter(gpu=4)
    assert (within.exceeded_limits(PIPELINE), beyond.exceeded_limits(PIPELINE)) == ((), ("gpu",))
    assert Configuration({"a": on("cpu", 10**6), "b": on("cpu", 1)}).exceeded_limits(PIPELINE) == ()


def test_configurations_are_equal_whatever_the_order_of_stages():
    one = Configuration({"a": on("cpu", 1), "b": on("gpu", 2)})
    other = Configuration({"b": on("gpu", 2), "a": on("cpu", 1)})
    assert one == other
    assert len({one, other, one.with_stage("a", on("cpu", 2))}) == 2
    assert one != {"a": on("cpu", 1), "b": on("gpu", 2)}


def test_changing_a_stage_leaves_the_original_as_it_was():
    given = {"a": on("cpu", 1), "b": on("cpu", 1)}
    before = Configuration(given)
    after = before.with_stage("b", on("gpu", 2))
    given["a"] = on("gpu", 4)
    assert (before["a"], before["b"]) == (on("cpu", 1), on("cpu", 1))
    assert (after["a"], after["b"]) == (on("cpu", 1), on("gpu", 2))
    assert list(after) == ["a", "b"]
    assert repr(after) == "Configuration(a: cpu x1 b8, b: gpu x2 b8)"


@pytest.mark.parametrize(("max_batch", "replicas"), [(0, 1), (1, 0), (-1, -1)])
def test_fewer_than_one_is_refused(max_batch, replicas):
    with pytest.raises(ValueError, match="at least 1"):
        StageConfiguration(hardware="cpu", max_batch=max_batch, replicas=replicas)


def test_configurations_and_pipelines_can_be_sent_to_another_process():
    configuration = Configuration({"a": on("cpu", 1), "b": on("gpu", 2)})
    sent_configuration, sent_pipeline = pickle.loads(pickle.dumps((configuration, PIPELINE)))
    assert sent_configuration == configuration
    assert sent_pipeline == PIPELINE
    assert sent_configuration.cost_nano_usd_per_hour(sent_pipeline) == configuration.cost_nano_usd_per_hour(PIPELINE)
