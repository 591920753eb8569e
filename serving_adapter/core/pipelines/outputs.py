"""Outputs on their way from stage to stage: the bytes, and the value that they say once somebody asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serving_adapter.rpc.values import json_text, output_value, wire_input

__all__ = ["Output", "entry_input", "joined", "stage_input"]

_UNREAD = object()


class Output:
    """What a stage has returned, or what a client has sent: a text, most often JSON.

    Parameters
    ----------
    frame
        The bytes.
    """

    __slots__ = ("_value", "frame")

    def __init__(self, frame: bytes) -> None:
        self.frame = frame
        self._value: Any = _UNREAD

    @property
    def value(self) -> Any:  # noqa: ANN401 - a JSON value
        """The JSON value: what the text says when it is JSON, else the text; read when first asked for."""
        if self._value is _UNREAD:
            self._value = output_value(self.frame)
        return self._value


def joined(brought: Mapping[str, Output]) -> Output:
    """Return the input of a join: an object of the outputs of the parents that were taken.

    Examples
    --------
    >>> joined({"detect": Output(b"[1,2]"), "orient": Output(b"upright")}).frame
    b'{"detect":[1,2],"orient":"upright"}'
    """
    parts = (b"%b:%b" % (json_text(_quoted(name)), json_text(output.frame)) for name, output in brought.items())
    return Output(b"{%b}" % b",".join(parts))


def entry_input(given: Output, input_type: str) -> bytes:
    """Return the content of the input frame of an entry of that type for what a client has sent, in JSON.

    Raises
    ------
    ValueError
        When the value is not of that type.
    """
    if input_type == "json":  # the container reads it as `Output.value` does
        return given.frame
    return wire_input(given.value, input_type)


def stage_input(brought: Output, input_type: str) -> bytes:
    """Return the content of the input frame of a stage of that type for the output of the stage before it.

    A stage that takes strings gets the text to the letter, whether it is JSON or not: ``1e1`` stays as it is.

    Raises
    ------
    ValueError
        When the value is not of that type.
    """
    return brought.frame if input_type == "strings" else entry_input(brought, input_type)


def _quoted(name: str) -> bytes:
    return wire_input([name], "json")[1:-1]
