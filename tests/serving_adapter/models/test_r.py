"""Functions of R, in a process of R."""

import math
import os
import shutil
import signal
import subprocess

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inferline.errors import InputError, OutsideError
from serving_adapter.models import clipper_directory, r

needs_r = pytest.mark.skipif(
    shutil.which("Rscript") is None, reason="R is not installed (apt-get install r-base-core)"
)


@pytest.fixture
def start(tmp_path):
    """Return what starts R with a function, and with what an expression of R says as the model."""
    models = []

    def begin(function, model=None):
        (tmp_path / "func.R").write_text(function)
        if model is not None:
            subprocess.run(["Rscript", "-e", f"saveRDS({model}, '{tmp_path / 'model.rds'}')"], check=True)
        models.append(clipper_directory.load(tmp_path, 1))
        return models[-1]

    yield begin
    for model in models:
        model.close()
        assert model.process.returncode is not None


@pytest.fixture(scope="module")
def evaluating(tmp_path_factory):
    """Return a model whose outputs are what the first input, an expression of R, says."""
    folder = tmp_path_factory.mktemp("evaluating")
    (folder / "func.R").write_text("function(model, inputs) eval(parse(text = inputs[[1]]))")
    model = r.load(folder, 1)
    yield model
    model.close()


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    """Return a model that says what R got, each input as a list."""
    folder = tmp_path_factory.mktemp("echo")
    written = "function(x) as.list(if (is.raw(x)) as.character(x) else x)"
    (folder / "func.R").write_text(f"function(model, inputs) lapply(inputs, {written})")
    model = r.load(folder, 1)
    yield model
    model.close()


@pytest.mark.languages
@needs_r
def test_linear_model(start):
    trained = "lm(y ~ x, data.frame(x = c(0, 1, 2, 3), y = c(1, 3, 5, 7)))"
    model = start("function(model, inputs) predict(model, data.frame(x = unlist(inputs)))", trained)
    assert [float(each) for each in model.predict([np.array([4.0]), np.array([5.0])])] == pytest.approx([9.0, 11.0])
    assert [float(each) for each in model.predict([np.array([-1.0])])] == pytest.approx([-1.0])


@pytest.mark.languages
@needs_r
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5), min_size=1, max_size=5))
def test_doubles_arrive_as_they_are(echo, batch):
    outputs = echo.predict([np.array(each, dtype="<f8") for each in batch])
    assert [msgspec.json.decode(each) for each in outputs] == batch


@pytest.mark.languages
@needs_r
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=1, max_size=5))
def test_strings_arrive_as_they_are(echo, batch):
    assert [msgspec.json.decode(each) for each in echo.predict(batch)] == [[each] for each in batch]


@pytest.mark.languages
@needs_r
@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([np.array([1, -(2**31) + 1], "<i4"), np.array([], "<i4")], ["[1,-2147483647]", "[]"]),
        ([np.array([0.5, 0.1], "<f4")], ["[0.5,0.10000000149011612]"]),
        ([b"\x00\xff"], ['["00","ff"]']),
        (['a\0b\n"\\'], ['["ab\\n\\"\\\\"]']),
    ],
)
def test_other_types(echo, inputs, outputs):
    assert echo.predict(inputs) == outputs


@pytest.mark.languages
@needs_r
@pytest.mark.parametrize(
    ("returned", "outputs"),
    [
        ("c(a = 1, b = 0.1)", ["1", "0.1"]),
        ("c('x', NA)", ["x", "null"]),
        ("c(TRUE, NA)", ["true", "null"]),
        ("factor(c('cat', 'dog'))", ["cat", "dog"]),
        ("matrix(c(1, 2, 3, 4), 2)", ["[1,3]", "[2,4]"]),
        ("data.frame(p = c(0.5, 1), q = c(0.25, 2))", ["[0.5,0.25]", "[1,2]"]),
        ("list(list(class = 'cat', p = 0.25), NULL)", ['{"class":"cat","p":0.25}', "null"]),
        ("list(c(NaN, Inf), 1L)", ["[null,null]", "1"]),
        ("list(1e300, 123456789012)", ["1e+300", "123456789012"]),
        ("list(1/3, list())", ["0.33333333333333331", "[]"]),
    ],
)
def test_outputs(evaluating, returned, outputs):
    assert evaluating.predict([returned, ""]) == outputs


@pytest.mark.languages
@needs_r
def test_what_r_prints_is_no_output(start):
    model = start("print('loading')\nfunction(model, inputs) { print(inputs); cat('x'); message('y'); inputs[[1]] }")
    assert model.predict([np.array([2.0])]) == ["2"]


@pytest.mark.languages
@needs_r
@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("stop('no such column')", r"^R: no such column \(in eval\("),
        ("stop('no such column', call. = FALSE)", "^R: no such column$"),
        ("list()", "^R: the function returned 0 outputs for 1 inputs$"),
        ("list(quote(x))", "^R: an output of type symbol cannot be sent$"),
    ],
)
def test_functions_that_fail(evaluating, returned, message):
    with pytest.raises(OutsideError, match=message):
        evaluating.predict([returned])


@pytest.mark.languages
@needs_r
def test_function_that_ends_r(start):
    model = start("function(model, inputs) quit(status = 7)")
    with pytest.raises(OutsideError, match=r"^R ended with exit code 7; what it said last is in the log$"):
        model.predict(["x"])


@pytest.mark.languages
@needs_r
def test_process_that_is_killed(start):
    model = start("function(model, inputs) inputs")
    os.kill(model.process.pid, signal.SIGKILL)
    model.process.wait()
    for _ in range(2):
        with pytest.raises(OutsideError, match=r"^R ended with exit code -9; "):
            model.predict([np.array([1.0])])


@pytest.mark.languages
@needs_r
@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("3", r"^R: the last value of func.R is no function\(model, inputs\)$"),
        ("function(model, inputs", "^R: .*unexpected end of input"),
        ("library(no.such.package)", "^R: there is no package called .no.such.package."),
    ],
)
def test_what_does_not_load(start, function, message):
    with pytest.raises(OutsideError, match=message):
        start(function)


@pytest.mark.languages
@needs_r
def test_model_that_is_none(start, tmp_path):
    (tmp_path / "model.rds").write_bytes(b"garbage")
    with pytest.raises(OutsideError, match=r"^R: unknown input format"):
        start("function(model, inputs) inputs")


def test_without_r(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "func.R").touch()
    with pytest.raises(InputError, match=r"func.R: needs R, whose Rscript is not on the path \(apt-get install"):
        clipper_directory.load(tmp_path, 1)


@pytest.mark.languages
@needs_r
def test_thirds_are_the_same_number(echo):
    assert msgspec.json.decode(echo.predict([np.array([1 / 3, math.pi])])[0]) == [1 / 3, math.pi]
