"""What is counted, and how it is shown: Clipper's JSON, and the text format of Prometheus.

Counting happens for every query and costs no more than a few additions; all that is dear happens when somebody looks.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import monotonic, monotonic_ns
from typing import Any

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from serving_adapter.core.versions import StageFigures
from serving_adapter.core.world import ModelKey
from serving_adapter.frontend.distributions import Meter, Reservoir
from serving_adapter.frontend.envelopes import ENVELOPE_SPAN_NS, ENVELOPE_WINDOWS_NS, envelope

__all__ = ["LATENCY_BOUNDS_S", "Metrics", "wants_prometheus"]

LATENCY_BOUNDS_S = tuple(round(0.0005 * math.sqrt(2) ** i, 6) for i in range(30))
"""Upper bounds of the latency histograms, 0.5 ms to 11.6 s, each 1.41 times the one before."""

BATCH_BOUNDS = tuple(float(2**i) for i in range(11))


class _Histogram:
    """Counts by upper bound, and the sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return cumulative counts as Prometheus wants them."""
        cumulative = np.cumsum(self.counts).tolist()
        return list(zip([*map(str, self.bounds), "+Inf"], cumulative, strict=True))


class _Application:
    __slots__ = ("defaults", "latency", "latency_us", "meter")

    def __init__(self) -> None:
        self.defaults = 0
        self.latency = _Histogram(LATENCY_BOUNDS_S)
        self.latency_us = Reservoir()
        self.meter = Meter(monotonic)


class _Model:
    __slots__ = ("batch_size", "batch_sizes", "dropped", "latency_us", "meter", "queries", "service", "waiting")

    def __init__(self) -> None:
        self.queries = 0
        self.dropped: dict[str, int] = {}
        self.service = _Histogram(LATENCY_BOUNDS_S)
        self.waiting = _Histogram(LATENCY_BOUNDS_S)
        self.batch_size = _Histogram(BATCH_BOUNDS)
        self.latency_us = Reservoir()
        self.batch_sizes = Reservoir()
        self.meter = Meter(monotonic)


class Metrics:
    """The counters of one server; it is the core's observer.

    Parameters
    ----------
    gauges
        Returns queue length, replicas and idle replicas of each model version.
    cache
        Returns the cache's counters by name: lookups, hits, joins, evictions, bytes.
    cache_use
        Returns hits and lookups of each model version.
    figures
        Returns what each model version has been through, its arrivals from an instant on.
    start
        Tells this process from others: counters and the clock begin anew in each.
    """

    def __init__(
        self,
        gauges: Callable[[], Mapping[ModelKey, tuple[int, int, int]]] = dict,
        cache: Callable[[], Mapping[str, int]] = dict,
        cache_use: Callable[[], Mapping[ModelKey, tuple[int, int]]] = dict,
        figures: Callable[[int], Mapping[ModelKey, StageFigures]] = lambda since_ns: {},  # noqa: ARG005
        start: str = "",
    ) -> None:
        self.gauges = gauges
        self.cache = cache
        self.cache_use = cache_use
        self.figures = figures
        self._start = start
        self._applications: dict[str, _Application] = {}
        self._models: dict[ModelKey, _Model] = {}
        self._queueing_us = Reservoir()
        self._answers = Meter(monotonic)
        self._answered = 0
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(self._families))

    def predicted(self, application: str, latency_ns: int, *, default: bool) -> None:
        """Count one query."""
        at = self._applications.get(application)
        if at is None:
            at = self._applications[application] = _Application()
        at.latency.add(latency_ns / 1e9)
        at.latency_us.add(latency_ns / 1e3)
        at.meter.mark()
        at.defaults += default

    def batch_answered(self, version: ModelKey, size: int, latency_ns: int, waited_ns: Sequence[int]) -> None:
        """Count one batch."""
        at = self._model(version)
        at.queries += size
        at.service.add(latency_ns / 1e9)
        at.latency_us.add(latency_ns / 1e3)
        at.batch_size.add(size)
        at.batch_sizes.add(size)
        at.meter.mark(size)
        self._answers.mark(size)
        self._answered += size
        add = at.waiting.add
        for each in waited_ns:
            add(each / 1e9)
        if waited_ns:
            self._queueing_us.add(waited_ns[0] / 1e3)

    def dropped(self, version: ModelKey, count: int, reason: str) -> None:
        """Count queries that were given up."""
        dropped = self._model(version).dropped
        dropped[reason] = dropped.get(reason, 0) + count

    def forget(self, applications: Iterable[str], versions: Iterable[ModelKey]) -> None:
        """Keep the counters of these only."""
        kept, served = set(applications), set(versions)
        self._applications = {name: at for name, at in self._applications.items() if name in kept}
        self._models = {key: at for key, at in self._models.items() if key in served}

    def _model(self, version: ModelKey) -> _Model:
        at = self._models.get(version)
        if at is None:
            at = self._models[version] = _Model()
        return at

    def prometheus(self, accept: str) -> tuple[bytes, bytes]:
        """Return the text format that the scraper asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type.encode()

    def clipper(self) -> tuple[bytes, bytes]:
        """Return Clipper's JSON; all leaves are strings."""
        document: dict[str, list[dict[str, Any]]] = {
            "counters": [],
            "ratio_counters": [],
            "meters": [],
            "histograms": [],
        }
        for name, at in self._applications.items():
            prefix = f"app:{name}"
            count = at.latency_us.count
            _put(document["histograms"], f"{prefix}:prediction_latency", at.latency_us.fields("microseconds"))
            _put(document["meters"], f"{prefix}:prediction_throughput", at.meter.fields())
            _put(document["counters"], f"{prefix}:num_predictions", {"count": str(count)})
            _put(document["ratio_counters"], f"{prefix}:default_prediction_ratio", _ratio(at.defaults, count))
        for (name, version), model in self._models.items():
            prefix = f"model:{name}:{version}"
            _put(document["histograms"], f"{prefix}:prediction_latency", model.latency_us.fields("microseconds"))
            _put(document["meters"], f"{prefix}:prediction_throughput", model.meter.fields())
            _put(document["counters"], f"{prefix}:num_predictions", {"count": str(model.queries)})
            _put(document["histograms"], f"{prefix}:batch_size", model.batch_sizes.fields("queries"))
        cache = self.cache()
        lookups, hits = cache.get("lookups", 0), cache.get("hits", 0)
        _put(document["counters"], "internal:prediction_cache_lookups", {"count": str(lookups)})
        _put(document["ratio_counters"], "internal:prediction_cache_hit_ratio", _ratio(hits, lookups))
        for (name, version), (of_version, looked_up) in self.cache_use().items():
            _put(document["ratio_counters"], f"model:{name}:{version}:cache_hit_ratio", _ratio(of_version, looked_up))
        _put(document["meters"], "internal:aggregate_model_throughput", self._answers.fields())
        _put(document["counters"], "internal:aggregate_num_predictions", {"count": str(self._answered)})
        queueing = self._queueing_us.fields("microseconds")
        _put(document["histograms"], "internal:rpc_request_queueing_delay", queueing)
        filled = {key: value for key, value in document.items() if value}
        return msgspec.json.format(msgspec.json.encode(filled), indent=4), b"application/json"

    def _families(self) -> Iterator[Metric]:
        latency = HistogramMetricFamily(
            "inferline_application_latency_seconds", "From query to reply.", labels=["application"]
        )
        defaults = CounterMetricFamily(
            "inferline_application_defaults", "Queries answered with the default output.", labels=["application"]
        )
        for name, at in self._applications.items():
            latency.add_metric([name], at.latency.buckets(), at.latency.total)
            defaults.add_metric([name], at.defaults)
        yield latency
        yield defaults
        yield from self._model_families()
        yield from self._gauge_families()
        yield from self._arrival_families()
        for name, value in self.cache().items():
            if name == "bytes":
                yield GaugeMetricFamily("inferline_cache_bytes", "Bytes of outputs in the prediction cache.", value)
            else:
                yield CounterMetricFamily(f"inferline_cache_{name}", f"Prediction cache: {name}.", value)

    def _model_families(self) -> Iterator[Metric]:
        labels = ["model", "version"]
        service = HistogramMetricFamily(
            "inferline_stage_service_seconds", "From sending a batch to its answer.", labels=labels
        )
        waiting = HistogramMetricFamily("inferline_stage_waiting_seconds", "Of a query in the queue.", labels=labels)
        batch = HistogramMetricFamily("inferline_stage_batch_size", "Queries of a batch.", labels=labels)
        dropped = CounterMetricFamily(
            "inferline_stage_dropped", "Queries that were given up.", labels=[*labels, "reason"]
        )
        for key, at in self._models.items():
            service.add_metric(key, at.service.buckets(), at.service.total)
            waiting.add_metric(key, at.waiting.buckets(), at.waiting.total)
            batch.add_metric(key, at.batch_size.buckets(), at.batch_size.total)
            for reason, count in at.dropped.items():
                dropped.add_metric([*key, reason], count)
        yield from (service, waiting, batch, dropped)

    def _gauge_families(self) -> Iterator[Metric]:
        labels = ["model", "version"]
        queue = GaugeMetricFamily("inferline_stage_queue_length", "Queries that wait.", labels=labels)
        replicas = GaugeMetricFamily("inferline_stage_replicas", "Replicas that can serve.", labels=labels)
        idle = GaugeMetricFamily("inferline_stage_idle_replicas", "Replicas without a batch.", labels=labels)
        for key, values in self.gauges().items():
            for family, value in zip((queue, replicas, idle), values, strict=True):
                family.add_metric(key, value)
        yield from (queue, replicas, idle)

    def _arrival_families(self) -> Iterator[Metric]:
        """Yield what an autoscaler needs that looks at scrapes: bursts between two of them are in the envelope."""
        labels, now_ns = ["model", "version"], monotonic_ns()
        arrivals = CounterMetricFamily("inferline_stage_arrivals", "Queries that came.", labels=labels)
        busy = CounterMetricFamily("inferline_stage_busy_seconds", "Of batches at replicas.", labels=labels)
        inside = GaugeMetricFamily("inferline_stage_in_service", "Queries at replicas.", labels=labels)
        most = GaugeMetricFamily(
            "inferline_stage_envelope_queries",
            "Most arrivals of the last 60 s in any window of that many seconds.",
            labels=[*labels, "window"],
        )
        clock = GaugeMetricFamily("inferline_core_clock_seconds", "Monotonic clock of the process.", labels=["start"])
        clock.add_metric([self._start], now_ns / 1e9)
        for key, seen in self.figures(now_ns - ENVELOPE_SPAN_NS).items():
            arrivals.add_metric(key, seen.arrivals)
            busy.add_metric(key, seen.busy_ns / 1e9)
            inside.add_metric(key, seen.in_service)
            for window_ns, count in zip(ENVELOPE_WINDOWS_NS, envelope(seen.recent_ns, now_ns), strict=True):
                most.add_metric([*key, f"{window_ns / 1e9:g}"], count)
        yield from (clock, arrivals, busy, inside, most)


def wants_prometheus(accept: str) -> bool:
    """Whether an Accept header is that of a Prometheus scraper: anything else gets Clipper's JSON.

    Examples
    --------
    >>> wants_prometheus("text/plain;version=0.0.4;q=0.5,*/*;q=0.1"), wants_prometheus("*/*")
    (True, False)
    """
    return "application/openmetrics-text" in accept or "text/plain" in accept


class _Collector:
    """What prometheus_client asks for families."""

    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        return self._families()

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not collect."""
        return ()


def _put(into: list[dict[str, Any]], name: str, fields: Mapping[str, str]) -> None:
    """Add a metric; a dot in its name nests, as in the original."""
    first, *others = name.split(".")
    value: Mapping[str, Any] = fields
    for part in reversed(others):
        value = {part: value}
    into.append({first: value})


def _ratio(count: int, of: int) -> dict[str, str]:
    return {"ratio": "nan" if not of else str(count / of)}
