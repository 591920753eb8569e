"""Network calculus: what arrival curves say about a trace."""

from inferline.calculus.arrival_curve import envelope_windows_ns, max_arrivals, shortest_span, traffic_envelope

__all__ = ["envelope_windows_ns", "max_arrivals", "shortest_span", "traffic_envelope"]
