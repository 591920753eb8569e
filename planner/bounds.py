"""What no configuration that meets the SLO can cost less than."""

from __future__ import annotations

from planner.estimator import Estimator

__all__ = ["lower_bound_nano_usd_per_hour"]


def lower_bound_nano_usd_per_hour(estimator: Estimator) -> int:
    """Return a cost below which no configuration in the declared space meets the SLO.

    Each stage alone needs at least the replicas that its total work asks for, on whichever hardware makes them
    cheapest; stages are independent of each other in this bound.
    """
    problem = estimator.problem
    return sum(
        min(
            option.price_nano_usd_per_hour
            * max(stage.min_replicas, estimator.least_replicas(stage.name, option.hardware, option.batch_sizes[-1]))
            for option in problem.options[stage.name].values()
        )
        for stage in problem.pipeline.stages
    )
