"""Network calculus: arrival curves, service curves, and what the two say about delay and replicas.

Counts over nanoseconds throughout. `max_arrivals` and its dual `shortest_span` look at one window of a trace;
`OnlineCurve` keeps a grid of windows up to date as arrivals come in. `WholeTrace` and `Staircase` are what bounds
take: all windows of a trace, or a few. `delay_bound_ns`, `backlog_bound` and `certified_replicas` are about a station
of batched replicas, `delay_bound_after_ns` and `replicas_after` about one that is being scaled. `Curve` is the
general algebra, of piecewise-linear curves in exact fractions.
"""

from inferline.calculus.arrival_curve import envelope_windows_ns, max_arrivals, shortest_span, traffic_envelope
from inferline.calculus.curves import Curve, from_staircase, minimum, rate_latency, stairs, token_bucket
from inferline.calculus.handover import Handover, delay_bound_after_ns, replicas_after
from inferline.calculus.min_plus import convolve, deconvolve, horizontal_deviation, vertical_deviation
from inferline.calculus.online import OnlineCurve
from inferline.calculus.staircase import ArrivalCurve, Staircase, WholeTrace
from inferline.calculus.station import (
    Uncertified,
    backlog_bound,
    certified_replicas,
    certifying_windows_ns,
    delay_bound_ns,
    service_curve,
)

__all__ = [
    "ArrivalCurve",
    "Curve",
    "Handover",
    "OnlineCurve",
    "Staircase",
    "Uncertified",
    "WholeTrace",
    "backlog_bound",
    "certified_replicas",
    "certifying_windows_ns",
    "convolve",
    "deconvolve",
    "delay_bound_after_ns",
    "delay_bound_ns",
    "envelope_windows_ns",
    "from_staircase",
    "horizontal_deviation",
    "max_arrivals",
    "minimum",
    "rate_latency",
    "replicas_after",
    "service_curve",
    "shortest_span",
    "stairs",
    "token_bucket",
    "traffic_envelope",
    "vertical_deviation",
]
