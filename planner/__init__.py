"""Planner: hardware, replicas and maximum batch size of every stage, at the least cost that meets the SLO."""

from planner.coarse import coarse
from planner.estimator import Estimator
from planner.exact import exact
from planner.greedy import greedy
from planner.outcome import Found, Infeasible, Observe, Step
from planner.plan import PLANNERS, TIME_LIMIT_S, Baseline, baselines, make_plan, plan_of, search
from planner.prediction import latency_ns, measure, predict
from planner.problem import Problem, pose

__all__ = [
    "PLANNERS",
    "TIME_LIMIT_S",
    "Baseline",
    "Estimator",
    "Found",
    "Infeasible",
    "Observe",
    "Problem",
    "Step",
    "baselines",
    "coarse",
    "exact",
    "greedy",
    "latency_ns",
    "make_plan",
    "measure",
    "plan_of",
    "pose",
    "predict",
    "search",
]
