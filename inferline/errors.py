"""The one error tree.

::

    InferlineError
    ├── InputError          what the user gave is wrong; carries every fault found          (exit 2)
    │   └── UnitError       a text is not a duration, a price, a share ...
    ├── InfeasibleError     no configuration meets the SLO; names the binding stage         (exit 3)
    └── OutsideError        something outside failed (server, cluster, registry)            (exit 4)

Every error can be rebuilt from its ``args`` alone, because SimPy re-raises an error that crosses it as
``type(error)(*error.args)``.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Fault", "InfeasibleError", "InferlineError", "InputError", "OutsideError", "UnitError"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with the input: where it is and what would be accepted.

    Parameters
    ----------
    file
        The file (as the user named it), or the command-line option.
    where
        Key path (``stages.rank.after[1].stage``) or line; empty when the fault is the file's as a whole.
    message
        What is wrong, with the value, and what would be accepted.
    """

    file: str
    where: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.where, self.message) if part)


class InferlineError(Exception):
    """Root of every error that InferLine raises on purpose."""


class InputError(InferlineError, ValueError):
    """The input is wrong; all of its faults are listed.

    Parameters
    ----------
    *faults
        Every fault found, in the order of the file. A plain text stands for a fault without a place.
    """

    def __init__(self, *faults: Fault | str) -> None:
        super().__init__(*faults)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults, one each."""
        return tuple(fault if isinstance(fault, Fault) else Fault("", "", str(fault)) for fault in self.args)

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)


class UnitError(InputError):
    """A text is not the quantity that it should be."""


class InfeasibleError(InferlineError):
    """No configuration meets the SLO.

    Raised at the edge only: planners answer with a value (``planner.Infeasible``).

    Parameters
    ----------
    reason
        The whole sentence for the user: which stage binds and what the best reachable latency is.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class OutsideError(InferlineError):
    """Something outside InferLine failed; the message says what was tried."""
