"""Network calculus: what arrival curves say about a trace."""

from inferline.calculus.arrival_curve import max_arrivals, shortest_span, traffic_envelope

__all__ = ["max_arrivals", "shortest_span", "traffic_envelope"]
