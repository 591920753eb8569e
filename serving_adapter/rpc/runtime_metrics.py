"""What a container says about itself to Prometheus, under the names that Clipper's containers use.

Whatever else the process has in prometheus_client's default registry is shown beside it: memory and processor time,
and the metrics that a model makes for itself.
"""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, start_http_server

from serving_adapter.rpc.serving import BatchTimes

__all__ = ["ContainerMetrics", "serve_metrics"]

_FINE_MS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_CLIPPER_MS = (5.0, 10.0, 20.0, 35.0, 50.0, 75.0, 100.0, 150.0, 200.0, 250.0, 300.0, 400.0, 500.0)
BOUNDS_MS = (*_FINE_MS, *_CLIPPER_MS, 1000.0, 2000.0, 5000.0, 10000.0)
"""Upper bounds of the histograms: Clipper's, and more on both sides, for models under 5 ms and over 0.5 s."""

_BATCH_SIZES = tuple(float(2**power) for power in range(11))


class ContainerMetrics:
    """Counts batches; call it with each.

    Parameters
    ----------
    registry
        Where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def times(name: str, meaning: str) -> Histogram:
            return Histogram(f"clipper_mc_{name}_ms", meaning, buckets=BOUNDS_MS, registry=registry)

        # One per batch, as in Clipper's containers.
        self._batches = Counter("clipper_mc_pred_total", "Batches answered", registry=registry)
        self._latency = times("end_to_end_latency", "Milliseconds from receiving a batch to its answer")
        self._receive = times("recv_time", "Milliseconds to take a batch from the socket")
        self._parse = times("parse_time", "Milliseconds to read its inputs")
        self._handle = times("handle_time", "Milliseconds of the model, and of writing its outputs")
        self._sizes = Histogram("inferline_batch_size", "Inputs in a batch", buckets=_BATCH_SIZES, registry=registry)

    def __call__(self, batch: BatchTimes) -> None:
        """Count a batch."""
        self._batches.inc()
        self._latency.observe((batch.receive_s + batch.parse_s + batch.handle_s) * 1000)
        self._receive.observe(batch.receive_s * 1000)
        self._parse.observe(batch.parse_s * 1000)
        self._handle.observe(batch.handle_s * 1000)
        self._sizes.observe(batch.size)


def serve_metrics(host: str, port: int) -> ContainerMetrics:
    """Show the metrics over HTTP, on any path, from a thread that ends with the process.

    Raises
    ------
    OSError
        When the port is taken, or there is no such address.
    """
    start_http_server(port, host)
    return ContainerMetrics()
