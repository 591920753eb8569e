"""Reading what happens to a pipeline's stages: from the serving core itself, or from Prometheus."""

from serving_adapter.arrivals.core import CoreArrivals
from serving_adapter.arrivals.prometheus import PrometheusArrivals
from serving_adapter.arrivals.seen import PipelineSeen, StageSeen

__all__ = ["CoreArrivals", "PipelineSeen", "PrometheusArrivals", "StageSeen"]
