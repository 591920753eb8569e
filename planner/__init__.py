"""Planner: hardware, replicas and maximum batch size of every stage, at the least cost that meets the SLO."""

from planner.coarse import coarse
from planner.estimator import Estimator
from planner.greedy import greedy
from planner.outcome import Infeasible
from planner.plan import PLANNERS, Baseline, baselines, make_plan
from planner.prediction import latency_ns, measure, predict
from planner.problem import Problem, pose

__all__ = [
    "PLANNERS",
    "Baseline",
    "Estimator",
    "Infeasible",
    "Problem",
    "baselines",
    "coarse",
    "greedy",
    "latency_ns",
    "make_plan",
    "measure",
    "pose",
    "predict",
]
