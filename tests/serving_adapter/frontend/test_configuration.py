"""From the stored state to what the core serves."""

from dataclasses import replace

import pytest

from serving_adapter.core.versions import VersionSpec
from serving_adapter.frontend.configuration import Defaults, endpoints, version_specs
from serving_adapter.state import Application, ModelVersion, Snapshot

APP = Application(name="a", input_type="doubles", default_output="0", latency_slo_micros=20_000)
MODEL = ModelVersion(
    name="m",
    version="1",
    input_type="doubles",
    labels=(),
    container_name="",
    model_data_path="",
    batch_size=-1,
)
PLAIN = VersionSpec(batch_size=-1, objective_ns=20_000_000, most_queued=7)


def snapshot(applications=(APP,), models=(MODEL,), links=(("a", "m"),)):
    linked = {}
    for application, model in links:
        linked[application] = linked.get(application, frozenset()) | {model}
    return Snapshot(
        applications={application.name: application for application in applications},
        links=linked,
        models={(model.name, model.version): model for model in models},
        current={},
        replicas={},
    )


def spec(defaults=Defaults(), **contents):  # noqa: B008 - a frozen value
    return version_specs(snapshot(**contents), defaults, 7)["m", "1"]


def test_what_holds_when_nothing_is_said():
    assert spec() == PLAIN
    assert spec(links=()).objective_ns == 100_000_000
    defaults = Defaults(order="deadline", batching="aimd", wait_ns=5)
    assert spec(defaults) == replace(PLAIN, order="deadline", batching="aimd", wait_ns=5)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"batching": "aimd"}, {"batching": "aimd"}),
        ({"batching": "unheard"}, {}),
        ({"batch_wait_micros": 0}, {"wait_ns": 0}),
        ({"batch_wait_micros": 3}, {"wait_ns": 3000}),
        ({"batch_size": 4, "input_type": "strings"}, {"batch_size": 4, "input_type": "strings"}),
    ],
)
def test_what_a_model_says_comes_first(model, expected):
    defaults = Defaults(wait_ns=9)
    assert spec(defaults, models=[replace(MODEL, **model)]) == replace(PLAIN, **{"wait_ns": 9, **expected})


def test_one_application_is_enough_for_the_order_and_the_shortest_slo_counts():
    others = [
        replace(APP, name="b", latency_slo_micros=5_000, queue_order="deadline"),
        replace(APP, name="c", latency_slo_micros=1, queue_order="deadline"),
        replace(APP, name="d", latency_slo_micros=-1),
    ]
    links = [("a", "m"), ("b", "m"), ("d", "m"), ("c", "other"), ("gone", "m")]
    found = spec(applications=[APP, *others], links=links)
    assert (found.order, found.objective_ns) == ("deadline", 5_000_000)


def test_what_has_not_changed_is_the_same_object_and_what_was_learnt_stays():
    learning = replace(APP, policy="Exp4")
    kept = []
    first = endpoints(snapshot([APP, replace(learning, name="b")]), {}, lambda *each: kept.append(each))
    first["b"].remember(7, "state")
    again = endpoints(snapshot([APP, replace(learning, name="b")]), first, print)
    assert all(again[name] is first[name] for name in "ab")
    linked = endpoints(snapshot([replace(learning, name="b")], links=[("b", "n"), ("b", "m")]), again, print)
    assert (list(linked), linked["b"].models, linked["b"].states) == (["b"], ("m", "n"), {7: "state"})
    other = endpoints(snapshot([replace(APP, name="b")]), linked, print)
    assert (other["b"].policy, other["b"].states) == (None, {})
