"""Selection policies: which models of an application a query goes to, and what is made of their predictions.

`DefaultOutputSelectionPolicy` is the one that Clipper's last version has. The bandits are those of its paper (NSDI
2017, section 5), with the constants of its early code. Where that code departs from the algorithm it names, this
follows the algorithm and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from serving_adapter.core.selection.default_output import DefaultOutputSelectionPolicy
from serving_adapter.core.selection.exponential import Exp3, Exp4
from serving_adapter.core.selection.mean_loss import MeanLossPolicy, epsilon_greedy, ucb1
from serving_adapter.core.selection.policy import Combination, Predictions, SelectionPolicy, StateError

__all__ = [
    "POLICIES",
    "Combination",
    "DefaultOutputSelectionPolicy",
    "Exp3",
    "Exp4",
    "MeanLossPolicy",
    "Predictions",
    "SelectionPolicy",
    "StateError",
    "epsilon_greedy",
    "ucb1",
]

_ALL: tuple[SelectionPolicy, ...] = (DefaultOutputSelectionPolicy(), Exp3(), Exp4(), epsilon_greedy(), ucb1())

POLICIES: Mapping[str, SelectionPolicy] = MappingProxyType({policy.name: policy for policy in _ALL})
"""Every policy, by the name that an application's registration gives."""
