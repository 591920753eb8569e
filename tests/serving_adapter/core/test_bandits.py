"""Seeded bandit problems: the best model is found, at a regret that is stated, and found again after it got worse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from serving_adapter.core.selection import POLICIES

STEPS = 10_000


def run(name: str, error_rates: list[tuple[float, ...]], seed: int) -> tuple[np.ndarray, str]:
    """Return the loss of each answer and the last state; the truth is 0, and models answer 1 at rates that change."""
    policy, rng = POLICIES[name], np.random.default_rng(seed)
    models = tuple(f"m{number}" for number in range(len(error_rates[0])))
    state = policy.init("0", models)
    lost = np.empty(STEPS)
    for step in range(STEPS):
        rates = error_rates[step * len(error_rates) // STEPS]
        wrong = dict(zip(models, rng.random(len(models)) < rates, strict=True))
        predictions = {model: "1" if wrong[model] else "0" for model in policy.select(state, models, rng)}
        lost[step] = float(policy.combine(state, predictions).output)
        state = policy.observe(state, 0.0, predictions)
    return lost, state


@pytest.mark.parametrize(
    ("name", "most_regret"),
    # Always asking the best loses 1,000 in the mean, drawing one of the three each time 3,000: a regret of 2,000.
    [("Exp3", 250), ("Exp4", 150), ("EpsilonGreedy", 400), ("UCB1", 250)],
)
def test_the_best_of_three_models_is_found(name, most_regret):
    regrets = [run(name, [(0.3, 0.1, 0.5)], seed)[0].sum() - 0.1 * STEPS for seed in range(3)]
    assert max(regrets) < most_regret


@pytest.mark.parametrize("name", ["Exp3", "Exp4"])
def test_after_the_best_model_got_worse_the_next_best_takes_over(name):
    lost, _ = run(name, [(0.3, 0.1, 0.5), (0.3, 0.9, 0.5)], 1)
    assert lost[-STEPS // 5 :].mean() == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_exp4_finds_one_slightly_better_model_among_ten(seed):
    _, state = run("Exp4", [(0.2, *[0.25] * 9)], seed)
    weights = json.loads(state)["weights"]
    assert weights["m0"] > 0.5 * sum(weights.values())
