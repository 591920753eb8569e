"""The words of InferLine as frozen values: no I/O, nothing but NumPy and the standard library."""

from inferline.domain.arrivals import GENERATORS, SPREADS, GeneratorSpec, PerSecondCounts, generate
from inferline.domain.batching import batch_to_take
from inferline.domain.configuration import Configuration, StageConfiguration
from inferline.domain.hardware import Hardware
from inferline.domain.modulated import markov_trace, ramp_trace, square_trace
from inferline.domain.pipeline import Edge, Pipeline, Stage
from inferline.domain.plan import Envelope, Plan, Prediction, StagePrediction
from inferline.domain.profile import SERVICE_TIMES, Profile
from inferline.domain.renewal import even_trace, gamma_trace, poisson_trace
from inferline.domain.routes import Routes, draw_routes
from inferline.domain.slo import Slo
from inferline.domain.trace import Trace

__all__ = [
    "GENERATORS",
    "SERVICE_TIMES",
    "SPREADS",
    "Configuration",
    "Edge",
    "Envelope",
    "GeneratorSpec",
    "Hardware",
    "PerSecondCounts",
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
    "even_trace",
    "gamma_trace",
    "generate",
    "markov_trace",
    "poisson_trace",
    "ramp_trace",
    "square_trace",
]
