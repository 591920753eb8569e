"""YAML text to plain mappings, lists and scalars, safely: built from the event stream under caps.

PyYAML's own composer recurses without a limit, expands aliases without a limit, lets the last of two equal keys win
and constructs objects from tags. Here every event is judged before anything is built from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

import yaml

from inferline.errors import Fault, InputError
from inferline.files.documents.key_path import KeyPath, key_path
from inferline.files.documents.scalars import resolve
from inferline.files.wording import shown

__all__ = ["MAX_DEPTH", "MAX_NODES", "KeyFault", "parse_yaml"]

MAX_DEPTH = 32
"""Mappings and lists may be nested this deep."""

MAX_NODES = 50_000
"""Most values in a document, with every alias counted as often as it is used."""

KeyFault = tuple[KeyPath, str]

_Event = Any  # the kinds of event share fewer attributes than their common type can say
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAG_PREFIX = "tag:yaml.org,2002:"
_HARMLESS_TAGS = frozenset({None, "!", _TAG_PREFIX + "str", _TAG_PREFIX + "map", _TAG_PREFIX + "seq"})


class _Node(NamedTuple):
    """A value, the nodes in it with aliases expanded, and the levels below it."""

    value: Any
    nodes: int
    height: int


def parse_yaml(file: str, text: str) -> tuple[Any, list[KeyFault]]:
    """Read one YAML document.

    Parameters
    ----------
    file
        The file, as the user named it.
    text
        Its text.

    Returns
    -------
    tuple
        The document (None when it is empty), and the faults of its keys: written twice, or no texts. The first of
        two equal keys counts, and a key that is no text is kept as it is written, so that the rest of the document
        can be checked too.

    Raises
    ------
    InputError
        When it is not YAML, or needs what is not accepted: several documents, tags, deep nesting, very many values.
    """
    if found := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise InputError(Fault(file, f"line {line}", f"the control character {found[0]!r} is not accepted"))
    composer = _Composer(file, yaml.parse(text, Loader=_LOADER))
    try:
        return composer.document(), composer.faults
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = " ".join(part for part in (error.context, error.problem) if part)
        if mark and any(line.startswith("\t") for line in text.split("\n")[mark.line : mark.line + 1]):
            problem = "a tab cannot indent; write spaces"
        raise InputError(Fault(file, where, f"is not YAML: {' '.join(problem.split())}")) from error
    except yaml.YAMLError as error:
        raise InputError(Fault(file, "", f"is not YAML: {' '.join(str(error).split())}")) from error


class _Composer:
    """Builds values from the events of one file."""

    def __init__(self, file: str, events: Iterator[_Event]) -> None:
        self.faults: list[KeyFault] = []
        self._file = file
        self._events = events
        self._anchored: dict[str, _Node | None] = {}

    def document(self) -> Any:  # noqa: ANN401 - whatever the file holds
        next(self._events)  # the stream begins
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        root = self._node(next(self._events), (), 0)
        next(self._events)  # the document ends
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._refuse(after, "a second document begins; a file holds one")
        return root.value

    def _refuse(self, event: _Event, message: str, path: KeyPath = ()) -> NoReturn:
        where = key_path(path) or f"line {event.start_mark.line + 1}"
        raise InputError(Fault(self._file, where, message))

    def _node(self, event: _Event, path: KeyPath, depth: int) -> _Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path, depth)
        if event.tag not in _HARMLESS_TAGS:
            tag = event.tag.replace(_TAG_PREFIX, "!!")
            self._refuse(event, f"the tag {shown(tag)} is not accepted; write plain values", path)
        if event.anchor is not None:
            self._anchored[event.anchor] = None  # not finished: an alias inside would contain itself
        if isinstance(event, yaml.ScalarEvent):
            node = _Node(resolve(event.value) if event.implicit[0] else event.value, 1, 0)
        else:
            if depth == MAX_DEPTH:
                self._refuse(event, f"is nested more than {MAX_DEPTH} levels deep")
            node = (
                self._list(path, depth) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(path, depth)
            )
        if event.anchor is not None:
            self._anchored[event.anchor] = node
        return node

    def _alias(self, event: _Event, path: KeyPath, depth: int) -> _Node:
        node = self._anchored.get(event.anchor)
        if node is None:
            reason = "contains itself" if event.anchor in self._anchored else "stands for nothing before it"
            self._refuse(event, f"the alias {shown('*' + event.anchor)} {reason}", path)
        if depth + node.height > MAX_DEPTH:
            self._refuse(event, f"is nested more than {MAX_DEPTH} levels deep")
        return node

    def _list(self, path: KeyPath, depth: int) -> _Node:
        values: list[Any] = []
        nodes, height = 1, 0
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            item = self._node(event, (*path, len(values)), depth + 1)
            values.append(item.value)
            nodes, height = self._counted(event, nodes + item.nodes), max(height, item.height)
        return _Node(values, nodes, height + 1)

    def _mapping(self, path: KeyPath, depth: int) -> _Node:
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        merged: list[Mapping[str, Any]] = []
        nodes, height = 1, 0
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key, is_merge = self._key(event, path, depth)
            value = self._node(next(self._events), path if key is None else (*path, key), depth + 1)
            nodes, height = self._counted(event, nodes + value.nodes), max(height, value.height)
            if is_merge:
                merged += self._merged(event, value.value, path)
            elif key in values:
                twice = f"is given twice, on lines {lines[key]} and {event.start_mark.line + 1}; keep one"
                self.faults.append(((*path, key), twice))
            elif key is not None:
                values[key] = value.value
                lines[key] = event.start_mark.line + 1
        for source in merged:
            for key in source:
                values.setdefault(key, source[key])
        return _Node(values, nodes, height + 1)

    def _counted(self, event: _Event, nodes: int) -> int:
        if nodes > MAX_NODES:
            self._refuse(event, f"holds more than {MAX_NODES} values, aliases expanded")
        return nodes

    def _key(self, event: _Event, path: KeyPath, depth: int) -> tuple[str | None, bool]:
        """Return the key, None when nothing can stand for it, and whether it merges another mapping (``<<``)."""
        value = self._node(event, path, depth + 1).value
        if isinstance(value, str):
            return value, value == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]
        if not isinstance(event, yaml.ScalarEvent) or not event.value:
            self.faults.append(
                (path, f"line {event.start_mark.line + 1}: {shown(value)} cannot be a key; write a text")
            )
            return None, False
        kind = "boolean" if isinstance(value, bool) else "null" if value is None else "number"
        quote = f"unquoted, {event.value} is a {kind} in YAML; quote it: {shown(event.value)}"
        self.faults.append(((*path, event.value), quote))
        return event.value, False

    def _merged(self, event: _Event, value: object, path: KeyPath) -> list[Mapping[str, Any]]:
        sources = value if isinstance(value, list) else [value]
        mappings: list[Mapping[str, Any]] = [source for source in sources if isinstance(source, dict)]
        if len(mappings) < len(sources):
            self._refuse(event, "'<<' merges a mapping or a list of mappings", path)
        return mappings
