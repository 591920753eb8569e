"""Which plan is in force: what the serving core has registered, or the plan's file where no core is asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from inferline.errors import InputError
from serving_adapter.client.admin import AdminClient
from serving_adapter.client.documents import PipelineDocument
from tuner.plans import InForce, Unfit

__all__ = ["DeployedPlans", "FilePlans", "Registered", "registered"]

_log = logging.getLogger(__name__)

Registered = tuple[Mapping[str, Any], Mapping[str, str]]
"""A plan, and by stage the version that visits go to."""


def registered(record: PipelineDocument) -> Registered:
    """Return what a core has registered of a pipeline."""
    return record["plan"], record["versions"]


class DeployedPlans:
    """`tuner.plans.Plans` by a serving core.

    Parameters
    ----------
    admin
        The core; closed with this.
    name
        The pipeline.
    known
        What is in force at the start.
    make
        Makes what is in force of what is registered; raises InputError when it cannot.
    """

    def __init__(
        self, admin: AdminClient, name: str, known: Registered, make: Callable[[PipelineDocument], InForce]
    ) -> None:
        self._admin = admin
        self._name = name
        self._known = known
        self._make = make

    @property
    def plan(self) -> Mapping[str, Any]:
        """The plan that was found registered last."""
        return self._known[0]

    def look(self) -> InForce | Unfit | None:
        """Return what is in force when another plan, or another version, has been registered.

        Raises
        ------
        OutsideError
            When the core, or the target, cannot be asked.
        """
        record = self._admin.get_pipeline(self._name)
        if record is None or registered(record) == self._known:
            return None
        try:
            found: InForce | Unfit = self._make(record)
        except InputError as error:
            reasons = "; ".join(map(str, error.faults))
            found = Unfit(reason=f"what is deployed is nothing that this daemon can scale: {reasons}")
        self._known = registered(record)
        return found

    def close(self) -> None:
        """Close the connection."""
        self._admin.close()


class FilePlans:
    """`tuner.plans.Plans` by the plan's file: what is written there counts once its replicas are deployed.

    Parameters
    ----------
    path
        plan.json.
    make
        Makes what is in force of the file; raises InputError when it is no plan, and OutsideError as long as what it
        says to run is not asked for at the target.
    """

    def __init__(self, path: Path, make: Callable[[], InForce]) -> None:
        self._path = path
        self._make = make
        self._known = self._mark()

    def look(self) -> InForce | Unfit | None:
        """Return what is in force when the file has changed and its replicas are deployed; faults are said once.

        Raises
        ------
        OutsideError
            When the file's plan is not deployed, or the target cannot be asked; it is tried again.
        """
        mark = self._mark()
        if mark == self._known:
            return None
        try:
            found = self._make()
        except InputError as error:
            reasons = "; ".join(map(str, error.faults))
            _log.warning('event=plan_faulty message="%s; the former plan stays in force"', reasons)
            found = None
        self._known = mark
        return found

    def close(self) -> None:
        """Keep nothing."""

    def _mark(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_size)
