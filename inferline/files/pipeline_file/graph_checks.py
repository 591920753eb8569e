"""What a pipeline document must be beyond its structure: the graph, the choices, the hardware, the bounds.

Everything here runs on the raw document, so that it is reported together with faults of the structure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from inferline.domain.pipeline import find_cycle
from inferline.files.documents.key_path import KeyPath
from inferline.files.faults import DocumentFaults
from inferline.files.pipeline_file.outline import EdgeOutline, Outline, StageOutline, as_number
from inferline.files.wording import either, listed, shown, suggestion

__all__ = ["check_graph"]

_TOLERANCE = 1e-9
_MOST_CYCLES = 20


def check_graph(outline: Outline, faults: DocumentFaults) -> None:
    """Check edges, cycles, choices, hardware and replicas of all stages.

    Parameters
    ----------
    outline
        The stages and hardware, as far as they can be read.
    faults
        Where the findings go.
    """
    for stage in outline.stages.values():
        _check_parents(stage, outline, faults)
        _check_hardware(stage, outline, faults)
        _check_replicas(stage, outline, faults)
    _check_cycles(outline, faults)
    _check_choices(outline, faults)
    _check_limits(outline, faults)


def _check_parents(stage: StageOutline, outline: Outline, faults: DocumentFaults) -> None:
    seen: set[str] = set()
    for edge in stage.edges:
        if edge.parent == stage.name:
            faults.add(edge.path, f"stage {shown(stage.name)} cannot come after itself")
        elif edge.parent not in outline.stages:
            faults.add(edge.path, f"no stage {shown(edge.parent)}{_instead(edge.parent, outline.stages)}")
        elif edge.parent in seen:
            faults.add(edge.path, f"parent {shown(edge.parent)} is named twice; keep one")
        seen.add(edge.parent)


def _instead(name: str, declared: Collection[str]) -> str:
    """Return what may be meant, or else what there is."""
    return suggestion(name, declared) or f"; declared: {listed(declared)}"


def _check_hardware(stage: StageOutline, outline: Outline, faults: DocumentFaults) -> None:
    seen: set[str] = set()
    for path, name in stage.hardware or ():
        if name not in outline.hardware:
            faults.add(path, f"no hardware {shown(name)}{_instead(name, outline.hardware)}")
        elif name in seen:
            faults.add(path, f"hardware {shown(name)} is named twice; keep one")
        seen.add(name)


def _check_replicas(stage: StageOutline, outline: Outline, faults: DocumentFaults) -> None:
    if stage.min_replicas is None or stage.min_replicas < 1:
        return
    path: KeyPath = (*stage.path, "replicas")
    if stage.max_replicas is not None and 1 <= stage.max_replicas < stage.min_replicas:
        most = f"max {stage.max_replicas}" + (", the default; give max too" if stage.max_is_default else "")
        faults.add(path, f"min {stage.min_replicas} is above {most}")
    allowed = outline.allowed(stage)
    if len(allowed) > 1 and max(outline.limit(name) for name in allowed) < stage.min_replicas:
        limits = either([f"{name}: {outline.limit(name)}" for name in allowed], "and")
        faults.add(path, f"min {stage.min_replicas} is above the limit of all hardware it may use ({limits})")


def _check_cycles(outline: Outline, faults: DocumentFaults) -> None:
    """Name one cycle after the other; the stages of a named one are left out of the search for the next."""
    parents = {
        name: [edge.parent for edge in stage.edges if edge.parent in outline.stages and edge.parent != name]
        for name, stage in outline.stages.items()
    }
    place = {name: i for i, name in enumerate(outline.stages)}
    for _ in range(_MOST_CYCLES):
        cycle = find_cycle(parents)
        if not cycle:
            return
        ring = cycle[:-1]
        first = min(range(len(ring)), key=lambda i: place[ring[i]])
        named = [*ring[first:], *ring[:first], ring[first]]
        faults.add(("stages", named[0], "after"), f"stages form a cycle: {_arrows(named)}")
        parents = {
            name: [each for each in of if each not in ring] for name, of in parents.items() if name not in ring
        }


def _arrows(names: list[str]) -> str:
    if len(names) > 12:
        names = [*names[:6], f"... ({len(names) - 1} stages) ...", *names[-5:]]
    return " -> ".join(names)


def _check_choices(outline: Outline, faults: DocumentFaults) -> None:
    chosen: dict[tuple[str, str], list[tuple[EdgeOutline, float]]] = defaultdict(list)
    for stage in outline.stages.values():
        for edge in stage.edges:
            label = edge.raw.get("choice")
            # A condition without a probability gets one from samples, before it is planned with.
            probability = as_number(edge.raw.get("probability", 0 if "when" in edge.raw else 1))
            if isinstance(label, str) and probability is not None and 0 <= probability <= 1:
                chosen[edge.parent, label].append((edge, probability))
    for (parent, label), edges in chosen.items():
        total = sum(probability for _, probability in edges)
        if total > 1 + _TOLERANCE:
            shares = either([f"{probability:g}" for _, probability in edges], "and")
            message = f"choice {shown(label)} out of {shown(parent)} has probabilities {shares}, in sum {total:g};"
            faults.add((*edges[-1][0].item, "probability"), f"{message} at most 1 is accepted")


def _check_limits(outline: Outline, faults: DocumentFaults) -> None:
    """Stages that may run on one kind of hardware only must fit within its limit together."""
    bound: dict[str, list[StageOutline]] = defaultdict(list)
    for stage in outline.stages.values():
        allowed = outline.allowed(stage)
        if len(allowed) == 1 and stage.min_replicas is not None:
            bound[allowed[0]].append(stage)
    for name, stages in bound.items():
        needed = sum(stage.min_replicas or 0 for stage in stages)
        if needed > outline.limit(name):
            users = listed([stage.name for stage in stages])
            message = f"{outline.limit(name)} is below {needed}, the fewest replicas of {users}"
            faults.add(("hardware", name, "limit"), f"{message}, which may run on nothing else")
