"""Options that say where replicas run and how the serving core is reached, and what they come to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click
import msgspec

from inferline.errors import Fault, InputError
from inferline.files.contents import read_bytes, utf8
from inferline.files.documents.yaml_document import parse_yaml
from inferline.files.limits import MAX_PIPELINE_BYTES
from inferline.files.wording import listed, shown, suggestion
from serving_adapter.replicas import Target

__all__ = ["TARGETS", "Place", "check_options", "kubernetes_options", "open_target", "target_options", "target_words"]

TARGETS = ("local", "docker", "kubernetes")

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Options = TypeVar("_Options")


class Place(Protocol):
    """The options of `target_options`, as every verb has them that asks a target."""

    @property
    def target(self) -> str | None:
        """Which target; None for none."""

    @property
    def engine_url(self) -> str | None:
        """Where the container engine is."""

    @property
    def namespace(self) -> str | None:
        """Namespace of Kubernetes."""

    @property
    def context(self) -> str | None:
        """Context of the kubeconfig."""

    @property
    def image(self) -> str | None:
        """Image of replicas and core."""

    @property
    def network(self) -> str | None:
        """Network of the container engine."""

    @property
    def options_file(self) -> Path | None:
        """File of further options."""


_WHOSE = {
    "engine_url": ("--engine-url", ("docker",)),
    "network": ("--network", ("docker",)),
    "namespace": ("--namespace", ("kubernetes",)),
    "context": ("--context", ("kubernetes",)),
    "image": ("--image", ("docker", "kubernetes")),
    "options_file": ("--target-options", ("docker", "kubernetes")),
}
"""Each option, and the targets that have a use for it."""

_FOUND_BY = ("engine_url", "namespace", "context", "options_file")
"""What says where a target is, and what is found there; the options file may do so too."""


def target_options(command: _Command) -> _Command:
    """Give a command the options that say how its target is asked."""
    for option in (
        click.option(
            "--target-options",
            "options_file",
            type=click.Path(path_type=Path),
            metavar="options.yaml",
            help="Further options of docker or kubernetes, by name: see their guides.",
        ),
        click.option("--network", metavar="NAME", help="docker: the network of core and replicas.  [default: host]"),
        click.option(
            "--image", metavar="IMAGE", help="docker, kubernetes: holds InferLine, the models and their folder."
        ),
        click.option("--context", metavar="NAME", help="kubernetes: context of the kubeconfig.  [default: current]"),
        click.option("--namespace", metavar="NAME", help="kubernetes: where the objects are.  [default: default]"),
        click.option("--engine-url", metavar="URL", help="docker: where the engine is.  [default: DOCKER_HOST]"),
    ):
        command = option(command)
    return command


def open_target(place: Place) -> Target:
    """Return the target that the options name; its clients are imported only now.

    Raises
    ------
    InputError
        When an option is for another target, a client is not installed, or the file of options is wrong.
    OutsideError
        When the target cannot be reached.
    """
    check_options(place)
    if place.target == "docker":
        from serving_adapter.replicas.docker import DockerOptions, DockerTarget  # noqa: PLC0415 - only when chosen

        given = {"url": place.engine_url, "image": place.image, "network": place.network}
        return DockerTarget(_read(place.options_file, DockerOptions, given))
    if place.target == "kubernetes":
        from serving_adapter.replicas.kubernetes import KubernetesTarget  # noqa: PLC0415 - only when chosen

        return KubernetesTarget(kubernetes_options(place), context=place.context)
    from serving_adapter.replicas.local import LocalTarget  # noqa: PLC0415 - only when chosen

    return LocalTarget()


def kubernetes_options(place: Place) -> Any:  # noqa: ANN401 - of a module that is imported only now
    """Return the options of the Kubernetes target; neither a client nor a cluster is needed for them."""
    from serving_adapter.replicas.kubernetes import KubernetesOptions  # noqa: PLC0415 - only when chosen

    check_options(place)
    given = {"namespace": place.namespace, "image": place.image}
    return _read(place.options_file, KubernetesOptions, given)


def check_options(place: Place) -> None:
    """Check that every option is one of the target's.

    Raises
    ------
    InputError
        With every option that is not.
    """
    faults = [
        Fault(flag, "", f"is for --target {' or '.join(whose)}, not for {place.target}")
        for name, (flag, whose) in _WHOSE.items()
        if getattr(place, name) is not None and place.target not in whose
    ]
    if faults:
        raise InputError(*faults)


def target_words(place: Place) -> list[str]:
    """Return the words of a command line that name a target, for another command that is to ask the same one."""
    words = ["--target", str(place.target)]
    for name in _FOUND_BY:
        if (value := getattr(place, name)) is not None:
            words += [_WHOSE[name][0], str(value)]
    return words


def _read(path: Path | None, kind: type[_Options], given: Mapping[str, Any]) -> _Options:
    """Return the options of a target: of the file, and over them those of the command line."""
    told = {name: value for name, value in given.items() if value is not None}
    if path is None:
        return kind(**told)
    file = os.fspath(path)
    document, key_faults = parse_yaml(file, utf8(file, read_bytes(path, MAX_PIPELINE_BYTES)))
    if not isinstance(document, Mapping):
        raise InputError(Fault(file, "", f"is {shown(document)}; write a mapping of options"))
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # they are dataclasses
    faults = [Fault(file, ".".join(map(str, where)), message) for where, message in key_faults]
    faults += [
        Fault(file, str(name), f"no such option{suggestion(name, known) or f'; there are {listed(known)}'}")
        for name in document
        if name not in known
    ]
    if faults:
        raise InputError(*faults)
    try:
        return msgspec.convert({**document, **told}, kind)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$.")  # as msgspec writes it
        raise InputError(Fault(file, where.rstrip("`"), message)) from error
