"""Generators by name: they take what they say they take, and nothing arrives outside the trace."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.domain import GENERATORS, Trace, generate
from inferline.units import NANO

EXAMPLES = {
    "gamma": {"rate": 100, "cv2": 4},
    "poisson": {"rate": 100},
    "markov": {"rates": [50, 200], "stays_ns": [NANO, NANO]},
    "ramp": {"start_rate": 10, "end_rate": 200},
    "square": {"low_rate": 20, "high_rate": 200, "period_ns": NANO},
    "even": {"rate": 100},
}


def test_every_generator_declares_the_parameters_that_its_function_takes():
    assert GENERATORS.keys() == EXAMPLES.keys()
    for spec in GENERATORS.values():
        taken = inspect.signature(spec.function).parameters.keys() - {"duration_ns", "queries", "seed"}
        assert set(spec.required) | set(spec.optional) == taken
        for name in spec.required:
            assert inspect.signature(spec.function).parameters[name].default is inspect.Parameter.empty


@pytest.mark.parametrize("arrivals", EXAMPLES)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(-(2**70), 2**70), duration_ns=st.integers(NANO, 20 * NANO))
def test_arrivals_lie_in_the_trace_and_depend_on_the_seed_only(arrivals, seed, duration_ns):
    trace = generate(arrivals, duration_ns=duration_ns, seed=seed, **EXAMPLES[arrivals])
    assert trace.arrival_ns.dtype == np.int64
    assert trace.duration_ns == duration_ns
    assert 0 <= trace.arrival_ns[0] <= trace.arrival_ns[-1] < duration_ns
    again = generate(arrivals, duration_ns=duration_ns, seed=seed, **EXAMPLES[arrivals])
    assert again.arrival_ns.tobytes() == trace.arrival_ns.tobytes()


def test_random_generators_share_no_draws():
    beginnings = {
        name: generate(name, duration_ns=60 * NANO, seed=1, **EXAMPLES[name]).arrival_ns[:3] for name in EXAMPLES
    }
    assert len({beginning.tobytes() for beginning in beginnings.values()}) == len(EXAMPLES)


def test_optional_parameters_are_handed_on():
    trace = generate("square", duration_ns=100 * NANO, duty=0.25, low_rate=0, high_rate=50, period_ns=10 * NANO)
    assert (trace.arrival_ns % (10 * NANO)).max() <= 2_500_000_000


@pytest.mark.parametrize(
    ("arrivals", "parameters", "message"),
    [
        ("zipf", {}, "unknown arrivals 'zipf'; accepted are gamma, poisson, markov, ramp, square, even"),
        ("gamma", {"rate": 1}, "gamma arrivals: 'cv2' is missing; they take rate, cv2"),
        ("even", {"rate": 1, "cv2": 2}, "even arrivals: 'cv2' is unknown; they take rate"),
        ("square", {}, r"they take low_rate, high_rate, period_ns, duty \(optional\)"),
        ("even", {"rate": 1, "queries": 2}, "'queries' is unknown"),
    ],
)
def test_wrong_names_are_refused_with_what_is_accepted(arrivals, parameters, message):
    with pytest.raises(ValueError, match=message):
        generate(arrivals, duration_ns=NANO, **parameters)


def test_a_generated_trace_is_a_trace():
    assert isinstance(generate("poisson", duration_ns=NANO, rate=50), Trace)
