"""The estimator agrees with plain simulation, whatever it skips or remembers."""

from __future__ import annotations

import numpy as np
import pytest

from inferline.domain import Configuration, StageConfiguration
from planner import Estimator, Problem, latency_ns
from tests.random_problems import random_problem


def draw(problem: Problem, rng: np.random.Generator) -> Configuration:
    chosen = {}
    for stage in problem.pipeline.stages:
        option = problem.options[stage.name][str(rng.choice(list(problem.options[stage.name])))]
        chosen[stage.name] = StageConfiguration(
            hardware=option.hardware,
            max_batch=int(rng.choice(option.batch_sizes)),
            replicas=int(rng.integers(1, stage.max_replicas + 1)),
        )
    return Configuration(chosen)


def meets_slo(problem: Problem, configuration: Configuration) -> bool:
    late = np.count_nonzero(latency_ns(problem, configuration) > problem.pipeline.slo.latency_ns)
    return late <= problem.late_allowed


@pytest.mark.parametrize("block", range(10))
def test_feasible_is_what_a_whole_simulation_says(block):
    verdicts = set()
    for seed in range(block * 30, block * 30 + 30):
        problem = random_problem(seed, stages=2 + seed % 4)
        estimator = Estimator(problem)
        rng = np.random.default_rng(seed)
        for _ in range(12):
            configuration = draw(problem, rng)
            verdict = estimator.feasible(configuration)
            verdicts.add(verdict)
            assert verdict == meets_slo(problem, configuration), (seed, configuration)
    assert verdicts == {True, False}


def test_fewer_replicas_than_the_work_asks_for_never_meet_the_slo():
    tried = 0
    for seed in range(150):
        problem = random_problem(seed)
        estimator = Estimator(problem)
        configuration = draw(problem, np.random.default_rng(seed))
        for name, chosen in configuration.items():
            least = estimator.least_replicas(name, chosen.hardware, chosen.max_batch)
            if least > 1:
                fewer = StageConfiguration(hardware=chosen.hardware, max_batch=chosen.max_batch, replicas=least - 1)
                assert not meets_slo(problem, configuration.with_stage(name, fewer))
                tried += 1
    assert tried > 20


def test_a_prefix_is_simulated_once_and_trimming_changes_no_answer():
    problem = random_problem(3, stages=4)
    keeping, forgetting = Estimator(problem), Estimator(problem, cache_bytes=0)
    rng = np.random.default_rng(0)
    configurations = [draw(problem, rng) for _ in range(60)]
    answers = []
    for configuration in configurations:
        answers.append(forgetting.feasible(configuration))
        forgetting.trim()
    assert [keeping.feasible(configuration) for configuration in configurations] == answers
    assert keeping.reused > 0
    assert keeping.simulated < forgetting.simulated
    before = keeping.simulated
    assert [keeping.feasible(configuration) for configuration in configurations] == answers
    assert keeping.simulated == before


def test_questions_are_answered_in_their_order():
    estimator = Estimator(random_problem(0), threads=2)
    assert estimator.evaluate([lambda k=k: k * k for k in range(20)]) == [k * k for k in range(20)]
