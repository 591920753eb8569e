"""Arrivals read from a Prometheus that scrapes the serving core."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from inferline.errors import InputError, OutsideError
from inferline.units import NANO
from serving_adapter.arrivals.rebuilt import rebuilt
from serving_adapter.arrivals.seen import KEPT_NS, PipelineSeen, StageSeen, utilisation
from serving_adapter.frontend.envelopes import ENVELOPE_WINDOWS_NS
from serving_adapter.frontend.pipeline_admin import stage_model

__all__ = ["PrometheusArrivals"]

_CLOCK = "inferline_core_clock_seconds"
_ARRIVALS = "inferline_stage_arrivals_total"
_BUSY = "inferline_stage_busy_seconds_total"
_QUEUED = "inferline_stage_queue_length"
_IN_SERVICE = "inferline_stage_in_service"
_REPLICAS = "inferline_stage_replicas"
_ENVELOPE = "inferline_stage_envelope_queries"
_METRICS = (_CLOCK, _ARRIVALS, _BUSY, _QUEUED, _IN_SERVICE, _REPLICAS, _ENVELOPE)

Samples = Mapping[float, float]
"""By time of the scrape, in seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """One series: its labels, and its samples by the time of their scrape."""

    labels: Mapping[str, str]
    samples: Samples


class PrometheusArrivals:
    """The arrivals of a pipeline, by the metrics of its serving core in a Prometheus.

    All is of scrapes, and none is made up between them; how old the last one is, is said. The core's clock is one of
    its metrics, so that what is told is on the core's clock as if it had been asked itself. All versions of a stage's
    model count together.

    Parameters
    ----------
    url
        Of the Prometheus.
    pipeline, stages
        Names.
    timeout_s
        How long an answer may take.

    Raises
    ------
    InputError
        When prometheus-api-client is not installed.
    """

    def __init__(self, url: str, pipeline: str, stages: Sequence[str], timeout_s: float = 5.0) -> None:
        try:
            from prometheus_api_client import PrometheusConnect  # noqa: PLC0415 - optional
            from prometheus_api_client.exceptions import PrometheusApiClientException  # noqa: PLC0415
            from requests import RequestException  # noqa: PLC0415 - comes with it
        except ImportError as error:
            name = "prometheus-api-client" if "prometheus" in str(error.name) else error.name
            raise InputError(f"prometheus:// needs {name}: pip install 'inferline[prometheus]'") from error
        self._failures = (PrometheusApiClientException, RequestException, KeyError, TypeError, ValueError)
        self._client: Any = PrometheusConnect(url=url, retry=0, timeout=timeout_s)
        self._url = url
        self._models = {stage_model(pipeline, stage): stage for stage in stages}

    def look(self) -> PipelineSeen:
        """Return what is to be seen at the last scrape.

        Raises
        ------
        OutsideError
            When Prometheus cannot be reached, or knows nothing of a stage.
        """
        names = "|".join(_METRICS)
        models = json.dumps("|" + "|".join(map(re.escape, self._models)))  # the clock is of no model
        try:
            found = self._client.custom_query(f'{{__name__=~"{names}",model=~{models}}}[{KEPT_NS // NANO}s]')
            now_s = float(self._client.custom_query("time()")[1])
            series = [_series(each) for each in found]
        except self._failures as error:
            raise OutsideError(f"Prometheus at {self._url}: {error}") from error
        return self._seen(series, now_s)

    def close(self) -> None:
        """Close the connections."""
        self._client._session.close()  # it offers nothing else

    def _seen(self, series: Sequence[_Series], now_s: float) -> PipelineSeen:
        clocks = [each for each in series if each.labels["__name__"] == _CLOCK and each.samples]
        if not clocks:
            raise OutsideError(
                f"Prometheus at {self._url} has no {_CLOCK} of the last {KEPT_NS // NANO} s; it must scrape /metrics "
                "at the query port of the serving core"
            )
        clock = max(clocks, key=lambda each: max(each.samples))
        last_s = max(clock.samples)
        at_ns = {when: round(value * NANO) for when, value in clock.samples.items()}
        return PipelineSeen(
            start=clock.labels["start"],
            now_ns=at_ns[last_s],
            age_ns=max(0, round((now_s - last_s) * NANO)),
            stages={stage: self._stage(series, model, at_ns) for model, stage in self._models.items()},
        )

    def _stage(self, series: Sequence[_Series], model: str, at_ns: Mapping[float, int]) -> StageSeen:
        def of(name: str) -> Iterator[_Series]:
            return (each for each in series if each.labels.get("model") == model and each.labels["__name__"] == name)

        last_s = max(at_ns)
        arrivals = list(of(_ARRIVALS))
        if not any(last_s in each.samples for each in arrivals):
            raise OutsideError(f"Prometheus at {self._url} knows nothing of model {model!r} since the last scrape")
        scrapes = sorted(at_ns)
        counts = [round(_rise(arrivals, one, other)) for one, other in pairwise(scrapes)]
        most = [
            round(_sum((each for each in of(_ENVELOPE) if each.labels["window"] == f"{window_ns / NANO:g}"), last_s))
            for window_ns in ENVELOPE_WINDOWS_NS
        ]
        replicas = round(_sum(of(_REPLICAS), last_s))
        busy = 0.0
        if len(scrapes) > 1:
            span_ns = at_ns[last_s] - at_ns[scrapes[-2]]
            busy = utilisation(_rise(list(of(_BUSY)), scrapes[-2], last_s) * NANO, replicas, span_ns)
        arrival_ns = rebuilt([at_ns[each] for each in scrapes], counts, ENVELOPE_WINDOWS_NS, most)
        arrival_ns.flags.writeable = False
        return StageSeen(
            arrival_ns=arrival_ns,
            queued=round(_sum(of(_QUEUED), last_s)),
            in_service=round(_sum(of(_IN_SERVICE), last_s)),
            replicas=replicas,
            utilisation=busy,
        )


def _series(found: Mapping[str, Any]) -> _Series:
    return _Series(labels=found["metric"], samples={float(when): float(value) for when, value in found["values"]})


def _sum(series: Iterator[_Series], when: float) -> float:
    return sum(each.samples.get(when, 0.0) for each in series)


def _rise(series: Sequence[_Series], one: float, other: float) -> float:
    """Return by how much counters rose between two scrapes; one that was not there before began at 0."""
    return sum(max(0.0, each.samples.get(other, 0.0) - each.samples.get(one, 0.0)) for each in series)
