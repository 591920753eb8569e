"""The words of InferLine as frozen values: no I/O, nothing but NumPy and the standard library."""

from inferline.domain.batching import batch_to_take
from inferline.domain.configuration import Configuration, StageConfiguration
from inferline.domain.hardware import Hardware
from inferline.domain.pipeline import Edge, Pipeline, Stage
from inferline.domain.plan import Envelope, Plan, Prediction, StagePrediction
from inferline.domain.profile import SERVICE_TIMES, Profile
from inferline.domain.routes import Routes, draw_routes
from inferline.domain.slo import Slo
from inferline.domain.trace import Trace

__all__ = [
    "SERVICE_TIMES",
    "Configuration",
    "Edge",
    "Envelope",
    "Hardware",
    "Pipeline",
    "Plan",
    "Prediction",
    "Profile",
    "Routes",
    "Slo",
    "Stage",
    "StageConfiguration",
    "StagePrediction",
    "Trace",
    "batch_to_take",
    "draw_routes",
]
