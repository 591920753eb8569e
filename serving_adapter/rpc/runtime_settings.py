"""What a container's process is told: Clipper's environment variables, ours beside them, and options over both.

Nothing here imports a numerical library, not even indirectly: those count the cores when they are imported, and which
cores there are is one of the settings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from inferline.errors import Fault, InputError

__all__ = ["SETTINGS", "RuntimeSettings", "Setting", "read_settings"]

_Value = TypeVar("_Value")

_INPUT_TYPES = {
    **dict.fromkeys(("b", "byte", "bytes"), "bytes"),
    **dict.fromkeys(("i", "int", "ints", "integer", "integers"), "integers"),
    **dict.fromkeys(("f", "float", "floats"), "floats"),
    **dict.fromkeys(("d", "double", "doubles"), "doubles"),
    **dict.fromkeys(("s", "str", "strs", "string", "strings"), "strings"),
    "json": "json",
}
"""Every name of an input type that Clipper's containers know, in any case of letters; and ``json``, which is ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting: its option ``--name``, its environment variable, and what it means."""

    option: str
    variable: str
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        """The option as it is written: ``--input-type``."""
        return "--" + self.option.replace("_", "-")


_KNOWN = "bytes, integers, floats, doubles or strings"
_BY_DEFAULT = "doubles; with --model what the entry says, else json: any JSON value, which registers as strings"

SETTINGS = tuple(
    Setting(option=option, variable=variable, metavar=metavar, help=meaning)
    for option, variable, metavar, meaning in (
        ("name", "CLIPPER_MODEL_NAME", "NAME", "name of the model; required"),
        ("version", "CLIPPER_MODEL_VERSION", "VERSION", "version of the model; required"),
        ("path", "CLIPPER_MODEL_PATH", "FOLDER", "model directory of a Clipper deployer, which holds func.pkl"),
        ("model", "INFERLINE_MODEL", "JSON", "instead: an entry as under 'models:' of a pipeline file"),
        ("folder", "INFERLINE_FOLDER", "FOLDER", "where the entry's files and modules are (--path, else here)"),
        ("input_type", "CLIPPER_INPUT_TYPE", "TYPE", f"{_KNOWN} ({_BY_DEFAULT})"),
        ("ip", "CLIPPER_IP", "HOST", "address or name of the serving core (127.0.0.1)"),
        ("port", "CLIPPER_PORT", "PORT", "its port for containers (7000)"),
        ("threads", "INFERLINE_THREADS", "N", "threads to compute with (one per core)"),
        ("cpus", "INFERLINE_CPUS", "LIST", "cores to stay on, like 0,1 (all)"),
        ("ready_file", "INFERLINE_READY_FILE", "FILE", "there while the model can serve (/model_is_ready.check)"),
        ("metrics_port", "INFERLINE_METRICS_PORT", "PORT", "port of the metrics; 0 for none (1390)"),
        ("metrics_host", "INFERLINE_METRICS_HOST", "HOST", "address of the metrics (127.0.0.1)"),
    )
)
"""Every setting; options win over environment variables, and an empty variable counts as none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeSettings:
    """What a container's process is told.

    Parameters
    ----------
    name, version
        What the model registers as.
    path
        Clipper model directory; not None when `model` is.
    model
        An entry under ``models:``, not yet checked; None to load `path`.
    folder
        Where the entry's relative files and modules are found.
    input_type
        ``bytes``, ``integers``, ``floats``, ``doubles``, ``strings`` or ``json``; None when nothing says it.
    host, port
        Where the serving core listens.
    threads
        Threads to compute with; None for one per core.
    cpus
        Cores to stay on; None for all.
    ready_file
        Is there while the model can serve.
    metrics_host, metrics_port
        Where the metrics are; port 0 for none.
    """

    name: str
    version: str
    path: Path | None = None
    model: Mapping[str, Any] | None = None
    folder: Path = Path()
    input_type: str | None = None
    host: str = "127.0.0.1"
    port: int = 7000
    threads: int | None = None
    cpus: tuple[int, ...] | None = None
    ready_file: Path = Path("/model_is_ready.check")
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 1390


def read_settings(environment: Mapping[str, str], options: Mapping[str, str | None]) -> RuntimeSettings:
    """Read the settings of a container's process.

    Parameters
    ----------
    environment
        Environment variables.
    options
        Command-line options by name, as in `SETTINGS`; they win.

    Raises
    ------
    InputError
        When something is missing or wrong; every fault names its variable or option.

    Examples
    --------
    >>> settings = read_settings({"CLIPPER_MODEL_NAME": "m", "CLIPPER_MODEL_PATH": "/model"}, {"version": "1"})
    >>> settings.name, settings.version, settings.port, settings.input_type
    ('m', '1', 7000, None)
    """
    faults: list[Fault] = []
    texts = {each.option: options.get(each.option) or environment.get(each.variable) or "" for each in SETTINGS}
    names = {each.option: each.flag if options.get(each.option) else each.variable for each in SETTINGS}
    flags = {each.option: each.flag for each in SETTINGS}

    def read(option: str, parse: Callable[[str], _Value], default: _Value) -> _Value:
        if not texts[option]:
            return default
        try:
            return parse(texts[option])
        except ValueError as error:
            faults.append(Fault(names[option], "", f"{error}; got {texts[option]!r}"))
            return default

    def missing(option: str, advice: str) -> None:
        faults.append(Fault(names[option], "", f"is not set; {advice} ({flags[option]} does the same)"))

    defaults = RuntimeSettings(name="", version="")
    path = read("path", Path, None)
    settings = RuntimeSettings(
        name=texts["name"],
        version=texts["version"],
        path=path,
        model=read("model", _entry, None),
        folder=read("folder", Path, path or Path()),
        input_type=read("input_type", _input_type, None),
        host=texts["ip"] or defaults.host,
        port=read("port", _whole(1, 65535), defaults.port),
        threads=read("threads", _whole(1, 4096), None),
        cpus=read("cpus", _cores, None),
        ready_file=read("ready_file", Path, defaults.ready_file),
        metrics_host=texts["metrics_host"] or defaults.metrics_host,
        metrics_port=read("metrics_port", _whole(0, 65535), defaults.metrics_port),
    )
    if not settings.name:
        missing("name", "give the name of the model")
    if not settings.version:
        missing("version", "give the version of the model")
    if path is None and not texts["model"]:
        missing("path", "give the folder that holds func.pkl, or an entry in INFERLINE_MODEL")
    if settings.input_type == "json" and not texts["model"]:
        faults.append(Fault(names["input_type"], "", "is json, which only a model of INFERLINE_MODEL can take"))
    if faults:
        raise InputError(*faults)
    return settings


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text.strip()) or not least <= int(text) <= most:
            raise ValueError(f"expects a whole number from {least} to {most}")
        return int(text)

    return parse


def _cores(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[0-9]{1,5}(,[0-9]{1,5})*", text):
        raise ValueError("expects numbers of cores like 0,1")
    return tuple(sorted({int(each) for each in text.split(",")}))


def _input_type(text: str) -> str:
    try:
        return _INPUT_TYPES[text.strip().lower()]
    except KeyError:
        raise ValueError(f"expects {_KNOWN}; json too with INFERLINE_MODEL") from None


def _entry(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON ({error})") from error
    if not isinstance(value, dict):
        raise ValueError('expects an object like {"callable": "module:function"}')
    return value
