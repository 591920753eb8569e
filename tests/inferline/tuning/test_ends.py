"""What the tuner is told by targets and readers that are not as it expects."""

from __future__ import annotations

import pytest

from inferline.errors import OutsideError
from inferline.tuning import SeenArrivals, TargetReplicas
from serving_adapter.arrivals import PipelineSeen, StageSeen
from serving_adapter.deployment import read_files, wanted_of
from serving_adapter.replicas.local import LocalTarget
from tests.inferline.tuning.files import MODELS, PIPELINE


class Reader:
    """A reader that knows one stage."""

    def look(self):
        stage = StageSeen(arrival_ns=[], queued=1, in_service=2, replicas=3, utilisation=0.5)
        return PipelineSeen(start="one", now_ns=7, age_ns=5, stages={"double": stage})

    def close(self):
        """Keep nothing."""


def test_a_stage_that_is_not_served_is_no_stage_without_queries():
    seen = SeenArrivals(Reader(), ["double"]).look()
    double = seen.stages["double"]
    assert (seen.source, seen.now_ns, seen.age_ns) == ("one", 7, 5)
    assert (double.queued, double.in_service, double.ready, double.utilisation) == (1, 2, 3, 0.5)
    with pytest.raises(OutsideError, match="has no stages add; another plan runs"):
        SeenArrivals(Reader(), ["double", "add"]).look()


def test_a_target_with_nothing_of_it_has_no_counts_either(tmp_path):
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "served.py").write_text(MODELS)
    stage = '{"model": "%s", "hardware": "cpu", "max_batch": 1, "replicas": 1}'
    stages = f'{{"double": {stage % "doubler"}, "add": {stage % "adder"}}}'
    (tmp_path / "plan.json").write_text(f'{{"version": 1, "stages": {stages}}}')
    files = read_files(tmp_path / "pipeline.yaml", tmp_path / "plan.json")
    sets = {each.stage: each for each in wanted_of(files, {"double": "1", "add": "1"}).sets.values()}
    replicas = TargetReplicas(LocalTarget(tmp_path / "home"), None, sets)
    with pytest.raises(OutsideError, match=r"numbers has no replicas of .*; inferline deploy does that"):
        replicas.requested()
