"""What is read of a core or a Prometheus, as the tuner wants it."""

from __future__ import annotations

from collections.abc import Sequence

from inferline.errors import OutsideError
from serving_adapter.arrivals import CoreArrivals, PrometheusArrivals
from tuner.protocols import ArrivalsSeen, StageArrivals

__all__ = ["SeenArrivals"]


class SeenArrivals:
    """`tuner.protocols.Arrivals` of a pipeline that is served.

    Parameters
    ----------
    source
        Where it is read.
    stages
        The stages of the plan in force.
    """

    def __init__(self, source: CoreArrivals | PrometheusArrivals, stages: Sequence[str]) -> None:
        self._source = source
        self._stages = stages

    def look(self) -> ArrivalsSeen:
        """Return what is to be seen now.

        Raises
        ------
        OutsideError
            When it cannot be read, or a stage is missing.
        """
        seen = self._source.look()
        if missing := [name for name in self._stages if name not in seen.stages]:
            raise OutsideError(f"the pipeline that is served has no stages {', '.join(missing)}; another plan runs")
        return ArrivalsSeen(
            source=seen.start,
            now_ns=seen.now_ns,
            age_ns=seen.age_ns,
            stages={
                name: StageArrivals(
                    arrival_ns=stage.arrival_ns,
                    queued=stage.queued,
                    in_service=stage.in_service,
                    ready=stage.replicas,
                    utilisation=stage.utilisation,
                )
                for name in self._stages
                for stage in (seen.stages[name],)
            },
        )

    def close(self) -> None:
        """Let go of connections."""
        self._source.close()
