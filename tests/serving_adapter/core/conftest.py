"""A serving core that is driven by hand."""

from __future__ import annotations

import pytest

from tests.serving_adapter.core.surroundings import Serving


@pytest.fixture
def serving():
    """Return what makes a core with application `app`, linked to model `m`, which has version 1 and replicas."""

    def make(*, batch=1, slo=100, replicas=1, cache_bytes=10_000, seed=0, **spec):
        made = Serving(cache_bytes, seed)
        made.version("m:1", batch, **spec)
        made.app(slo=slo)
        for number in range(replicas):
            made.replica("m:1", number)
        return made

    return make
