"""Selection policies: states, choices, combinations, and what feedback does to them."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from serving_adapter.core.selection import POLICIES, Combination, Exp3, Exp4, StateError

MODELS = ("a", "b", "c")
LEARNING = [name for name in POLICIES if name != "DefaultOutputSelectionPolicy"]

every = pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
learning = pytest.mark.parametrize("policy", [POLICIES[name] for name in LEARNING], ids=LEARNING)
weighing = pytest.mark.parametrize("policy", [Exp3(), Exp4()], ids=["Exp3", "Exp4"])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def shares(state: str) -> dict[str, float]:
    weights = json.loads(state)["weights"]
    return {model: weight / sum(weights.values()) for model, weight in weights.items()}


def asked(policy, state: str, models, times: int = 2000) -> Counter:
    source = rng()
    return Counter(model for _ in range(times) for model in policy.select(state, models, source))


def test_the_registry_knows_each_policy_by_its_name():
    assert list(POLICIES) == ["DefaultOutputSelectionPolicy", "Exp3", "Exp4", "EpsilonGreedy", "UCB1"]
    assert all(policy.name == name for name, policy in POLICIES.items())


def test_the_default_policy_asks_the_first_model_keeps_clippers_state_and_learns_nothing():
    policy = POLICIES["DefaultOutputSelectionPolicy"]
    state = policy.init("-1", MODELS)
    assert json.loads(state) == {"y_hat": "-1"}
    assert policy.select(state, MODELS, rng()) == ("a",)
    assert policy.combine(state, {"a": "5.0"}) == Combination("5.0", False, 1.0)
    assert policy.combine(state, {"a": None}) == Combination("-1", True, 0.0)
    assert policy.observe(state, 1.0, {"a": "0"}) == policy.fit(state, ()) == state


@every
def test_without_models_nobody_is_asked_and_without_an_answer_the_default_is_given(policy):
    state = policy.init('say "é"', ())
    assert policy.select(state, (), rng()) == ()
    assert policy.combine(state, {}) == Combination('say "é"', True, 0.0)
    assert policy.combine(state, {"a": None, "b": None}) == Combination('say "é"', True, 0.0)
    assert policy.select(policy.fit(state, ()), (), rng()) == ()


@every
def test_a_state_is_a_json_text_that_can_be_stored_and_read_back(policy):
    state = policy.init("0", MODELS)
    for step in range(50):
        predictions = {model: str(step % 3 / 2) for model in policy.select(state, MODELS, rng(step))}
        again = json.dumps(json.loads(state))
        assert policy.select(again, MODELS, rng(step)) == policy.select(state, MODELS, rng(step))
        state = policy.observe(state, 1.0, predictions)
        assert json.loads(policy.observe(again, 1.0, predictions)) == json.loads(state)


@every
@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"default_output": 5}'])
def test_a_text_that_is_no_state_of_the_policy_is_named(policy, text):
    with pytest.raises(StateError, match="is not one of this selection policy"):
        policy.combine(text, {"a": None})


@learning
def test_models_that_come_and_go_are_chosen_and_forgotten_without_a_word(policy):
    state = policy.init("0", ("a", "b"))
    for seed in range(40):
        models = policy.select(state, ("a", "b"), rng(seed))
        state = policy.observe(state, 1.0, {model: "0" if model == "a" else "1" for model in models})
    assert set(asked(policy, state, ("b", "new"))) <= {"b", "new"}
    assert set(asked(policy, state, ("new",))) == {"new"}
    fitted = policy.fit(state, ("b", "new"))
    assert '"a"' not in fitted
    assert asked(policy, fitted, ("b", "new")) == asked(policy, state, ("b", "new"))


@weighing
def test_a_new_model_has_the_mean_weight_of_those_that_stay(policy):
    state = json.dumps({"default_output": "0", "weights": {"a": 8.0, "b": 3.0, "c": 1.0}})
    assert shares(policy.fit(state, ("b", "c", "d"))) == pytest.approx({"b": 0.5, "c": 1 / 6, "d": 1 / 3})
    assert shares(policy.observe(state, 0.0, {"d": "0"})) == pytest.approx(
        {"a": 0.5, "b": 3 / 16, "c": 1 / 16, "d": 0.25}
    )


def test_exp3_asks_by_weight():
    state = json.dumps({"default_output": "0", "weights": {"a": 5.0, "b": 3.0, "c": 2.0}})
    counts = asked(Exp3(), state, MODELS, 20_000)
    assert {model: count / 20_000 for model, count in counts.items()} == pytest.approx(
        {"a": 0.5, "b": 0.3, "c": 0.2}, abs=0.01
    )


def test_exp3_asks_somebody_even_when_the_shares_add_up_to_less_than_the_draw():
    class Highest:
        def random(self) -> float:
            return np.nextafter(1.0, 0.0)

    models = tuple(f"m{number}" for number in range(10))
    assert Exp3().select(Exp3().init("0", models), models, Highest()) == ("m9",)


def test_exp3_lowers_the_weight_of_the_one_asked_by_its_loss_over_its_probability():
    state = json.dumps({"default_output": "0", "weights": {"a": 3.0, "b": 1.0}})
    after = json.loads(Exp3().observe(state, 1.0, {"b": "0.2"}))["weights"]
    assert after["b"] / after["a"] == pytest.approx(np.exp(-0.01 * 0.8 / 0.25) / 3)
    assert sum(after.values()) == pytest.approx(2)
    late = json.loads(Exp3().observe(state, 1.0, {"b": None}))["weights"]
    assert late["a"] / late["b"] == pytest.approx(3)


def test_exp4_asks_all_and_lowers_each_weight_by_its_own_loss():
    state = json.dumps({"default_output": "0", "weights": {"a": 3.0, "b": 1.0, "c": 1.0}})
    assert Exp4().select(state, MODELS, rng()) == MODELS
    after = json.loads(Exp4().observe(state, 1.0, {"a": "0", "b": "0.5", "c": None}))["weights"]
    assert after["a"] / after["c"] == pytest.approx(3 * np.exp(-0.01))
    assert after["b"] / after["c"] == pytest.approx(np.exp(-0.005))


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        ({"a": "1", "b": "0", "c": "0"}, Combination("1", False, 1 / 3)),
        ({"a": "0.4", "b": "0.9", "c": "1.0"}, Combination("1", False, 2 / 3)),
        ({"a": "0.3", "b": "0.6", "c": "0.5"}, Combination("0", False, 1 / 3)),
        ({"a": None, "b": "0", "c": "1"}, Combination("0", False, 1 / 3)),
        ({"a": None, "b": None, "c": "1"}, Combination("1", False, 1 / 3)),
        ({"a": "1", "b": "1", "c": "1"}, Combination("1", False, 1.0)),
        ({"a": "cat", "b": "nan", "c": "1"}, Combination("1", False, 1 / 3)),
        ({"a": "cat", "b": None, "c": "inf"}, Combination("default", True, 0.0)),
    ],
)
def test_exp4_answers_what_has_more_weight_among_those_in_time(predictions, expected):
    state = json.dumps({"default_output": "default", "weights": {"a": 5.0, "b": 3.0, "c": 2.0}})
    assert Exp4().combine(state, predictions) == expected


@weighing
def test_weights_stay_sound_over_a_hundred_thousand_feedbacks(policy):
    state = policy.init("0", MODELS)
    for _ in range(100_000):
        state = policy.observe(state, 1.0, {"a": "0", "b": "0.001", "c": "1e300"})
    weights = json.loads(state)["weights"]
    assert all(np.isfinite(weight) and weight >= 1e-6 for weight in weights.values())
    assert sum(shares(state).values()) == pytest.approx(1, abs=1e-12)


def test_when_every_model_was_all_but_sure_to_be_wrong_weights_start_again():
    state = json.dumps({"default_output": "0", "weights": {"a": 1.0, "b": 1e-6}})
    after = Exp3(eta=1e4).observe(state, 1.0, {"a": "0", "b": "0"})
    assert json.loads(after)["weights"] == {"a": 1.0, "b": 1.0}


def test_mean_losses_are_means_and_text_that_is_no_number_loses_all():
    policy = POLICIES["EpsilonGreedy"]
    state = policy.init("0", ("a",))
    for prediction in ("1", "0.4", "cat", "-7"):
        state = policy.observe(state, 1.0, {"a": prediction})
    state = policy.observe(state, 1.0, {"a": None})
    assert json.loads(state)["losses"] == {"a": {"mean": pytest.approx((0 + 0.6 + 1 + 1) / 4), "count": 4}}
    fitted = json.loads(policy.fit(state, ("a", "new")))["losses"]
    assert fitted["new"] == {"mean": pytest.approx(0.65), "count": 0}


def test_epsilon_greedy_asks_the_best_but_for_one_in_ten():
    losses = {"a": {"mean": 0.3, "count": 9}, "b": {"mean": 0.2, "count": 9}, "c": {"mean": 0.4, "count": 9}}
    state = json.dumps({"default_output": "0", "losses": losses})
    counts = asked(POLICIES["EpsilonGreedy"], state, MODELS, 20_000)
    assert counts["b"] / 20_000 == pytest.approx(0.9 + 0.1 / 3, abs=0.01)
    assert counts["a"] / 20_000 == pytest.approx(0.1 / 3, abs=0.01)


def test_ucb1_tries_each_model_first_and_then_the_one_that_may_lose_least():
    policy = POLICIES["UCB1"]
    state, log = policy.init("0", MODELS), []
    loss = {"a": "0.5", "b": "0.25", "c": "0.75"}
    for _ in range(6):
        (model,) = policy.select(state, MODELS, rng())
        log.append(model)
        state = policy.observe(state, 0.0, {model: loss[model]})
    assert log == ["a", "b", "c", "b", "a", "c"]
    bounds = {
        model: seen["mean"] - np.sqrt(2 * np.log(6) / seen["count"])
        for model, seen in json.loads(state)["losses"].items()
    }
    assert policy.select(state, MODELS, rng()) == (min(bounds, key=bounds.get),)
