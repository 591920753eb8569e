"""What a serving core counts, read from its metrics: the text format of Prometheus."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from inferline.errors import InputError, OutsideError

__all__ = ["Attainment", "Look", "PipelineLook", "VersionLook", "attainment", "look_at", "read_look"]

_ACCEPT = {"Accept": "text/plain;version=0.0.4"}
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionLook:
    """One version of a model.

    Parameters
    ----------
    queued, replicas, idle
        Queries that wait, replicas that can serve, and those of them without a batch, at this instant.
    answered, busy_s
        Queries answered, and the time that batches have spent at replicas, since the core started.
    """

    queued: int = 0
    replicas: int = 0
    idle: int = 0
    answered: int = 0
    busy_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineLook:
    """The queries of a pipeline that have been answered since the core started.

    Parameters
    ----------
    within
        Queries by upper bound of their latency in seconds, cumulative; the last bound is infinity.
    defaults
        Queries that did not come to their end: they miss the SLO however fast the reply came.
    """

    within: Mapping[float, int] = field(default_factory=dict)
    defaults: int = 0

    @property
    def queries(self) -> int:
        """All of them."""
        return self.within.get(math.inf, 0)

    def since(self, before: PipelineLook) -> PipelineLook:
        """Return what has been answered between two looks; all of it when the core was started again between them."""
        if before.queries > self.queries or before.defaults > self.defaults:
            return self
        within = {bound: count - before.within.get(bound, 0) for bound, count in self.within.items()}
        return PipelineLook(within=within, defaults=self.defaults - before.defaults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A look at a serving core: its model versions by (model, version), its pipelines by name."""

    versions: Mapping[tuple[str, str], VersionLook]
    pipelines: Mapping[str, PipelineLook]

    def is_quiet(self, models: Collection[str]) -> bool:
        """Whether no query is at any version of these models: none waits, and every replica is idle."""
        seen = [version for (model, _), version in self.versions.items() if model in models]
        return all(not version.queued and version.idle == version.replicas for version in seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attainment:
    """The share of queries within a latency, as far as a histogram tells: it lies between two of its bounds.

    Parameters
    ----------
    queries
        How many were counted.
    least, most
        The share lies between these, in [0, 1].
    """

    queries: int
    least: float
    most: float


def attainment(seen: PipelineLook, latency_s: float) -> Attainment | None:
    """Return the share of queries that came to their end within a latency; None when there was no query.

    Examples
    --------
    >>> attainment(PipelineLook(within={0.1: 60, 0.2: 90, math.inf: 100}, defaults=5), 0.15)
    Attainment(queries=100, least=0.55, most=0.9)
    """
    if not seen.queries:
        return None
    below = max((bound for bound in seen.within if bound <= latency_s), default=None)
    above = min(bound for bound in seen.within if bound >= latency_s)
    # Queries that did not come to their end may be among the fast ones, or not.
    least = 0 if below is None else max(0, seen.within[below] - seen.defaults)
    most = min(seen.within[above], seen.queries - seen.defaults)
    return Attainment(queries=seen.queries, least=least / seen.queries, most=most / seen.queries)


def look_at(query_url: str) -> Look:
    """Look at a serving core.

    Raises
    ------
    InputError
        When httpx or prometheus_client is not installed.
    OutsideError
        When its query interface cannot be reached, or answers something else.
    """
    try:
        import httpx  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise InputError("looking at a serving core needs httpx: pip install 'inferline[http]'") from error
    url = f"{query_url.rstrip('/')}/metrics"
    try:
        answer = httpx.get(url, headers=_ACCEPT, timeout=_TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OutsideError(f"GET {url}: {error or type(error).__name__}; is a serving core there?") from error
    if answer.status_code != httpx.codes.OK:
        raise OutsideError(f"GET {url}: the server answered {answer.status_code}")
    try:
        return read_look(answer.text)
    except ValueError as error:
        raise OutsideError(f"GET {url}: the answer is none of a serving core: {error}") from error


def read_look(text: str) -> Look:
    """Read the metrics of a serving core.

    Raises
    ------
    InputError
        When prometheus_client is not installed.
    ValueError
        When it is not the text format.
    """
    try:
        from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise InputError("reading metrics needs prometheus_client: pip install 'inferline[serve]'") from error
    versions: dict[tuple[str, str], dict[str, Any]] = {}
    within: dict[str, dict[float, int]] = {}
    defaults: dict[str, int] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in _OF_VERSIONS:
                name, kind = _OF_VERSIONS[sample.name]
                versions.setdefault((sample.labels["model"], sample.labels["version"]), {})[name] = kind(sample.value)
            elif sample.name == "inferline_application_latency_seconds_bucket":
                bounds = within.setdefault(sample.labels["application"], {})
                bounds[float(sample.labels["le"])] = int(sample.value)
            elif sample.name == "inferline_application_defaults_total":
                defaults[sample.labels["application"]] = int(sample.value)
    return Look(
        versions={key: VersionLook(**values) for key, values in versions.items()},
        pipelines={
            name: PipelineLook(within=bounds, defaults=defaults.get(name, 0)) for name, bounds in within.items()
        },
    )


_OF_VERSIONS: Mapping[str, tuple[str, Callable[[float], float]]] = {
    "inferline_stage_queue_length": ("queued", int),
    "inferline_stage_replicas": ("replicas", int),
    "inferline_stage_idle_replicas": ("idle", int),
    "inferline_stage_waiting_seconds_count": ("answered", int),
    "inferline_stage_service_seconds_sum": ("busy_s", float),
}
