"""Whether configurations meet the SLO in one world."""

from __future__ import annotations

from inferline.domain import Configuration
from planner.prefixes import Prefixes
from planner.uncertainty.worlds import World

__all__ = ["WorldEstimator"]

_UNDER_WAY = 3


class WorldEstimator:
    """Judges configurations in one world, one at a time.

    Parameters
    ----------
    world
        The world.
    kept
        How many stages' departures are kept from one configuration to the next.
    """

    def __init__(self, world: World, kept: int) -> None:
        self.world = world
        self._kept = kept
        self._prefixes = Prefixes(world.problem, world.rows)

    @property
    def nbytes(self) -> int:
        """About the most memory that the world takes here: itself, departures kept and departures under way."""
        return self.world.nbytes + 12 * len(self.world.problem.trace) * (self._kept + _UNDER_WAY)

    def meets(self, configuration: Configuration) -> bool:
        """Whether the configuration meets the SLO here."""
        answer = self._prefixes.meets(configuration)
        self._prefixes.keep(self._kept)
        return answer
