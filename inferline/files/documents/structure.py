"""Checking the structure of a document with pydantic, and saying its findings in plain words."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from inferline.files.documents.key_path import ABSENT, KeyPath, child
from inferline.files.documents.scalars import number
from inferline.files.faults import DocumentFaults
from inferline.files.wording import either, shown, suggestion

__all__ = ["check_structure"]

Model = TypeVar("Model", bound=BaseModel)
Context = Mapping[str, Any]


def check_structure(
    model: type[Model], document: object, faults: DocumentFaults, below: KeyPath = ()
) -> Model | None:
    """Validate a raw document, or a part of it.

    Parameters
    ----------
    model
        What the document should be.
    document
        The raw mappings, lists and scalars.
    faults
        Where the findings go.
    below
        Key path of ``document`` in the file.

    Returns
    -------
    Model or None
        None when something is wrong.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            location, kind = each["loc"], each["type"]
            path = _path(document, location, missing=kind == "missing")
            owner = _model_at(model, path if kind == "model_type" else path[:-1])
            context = {**each.get("ctx", {}), "owner": owner, "key": path[-1] if path else ""}
            faults.add(below + path, _SENTENCES.get(kind, _not_accepted)(each["input"], context))
        return None


def _path(document: object, location: tuple[int | str, ...], *, missing: bool) -> KeyPath:
    """Return the part of pydantic's location that the raw document has.

    The rest are pydantic's own marks (``[key]``), or keys of a value that stands for a longer form (``after: [a]``
    for ``after: [{stage: a}]``). A missing key is named although the document does not have it.
    """
    path: KeyPath = ()
    node = document
    for part in location:
        owner, node = node, child(node, part)
        if node is ABSENT:
            return (*path, part) if missing and isinstance(owner, Mapping) else path
        path = (*path, part)
    return path


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    """Return the model of the mapping at a key path, or None when something else stands there."""
    kind: Any = model
    for part in path:
        kind = _without_none(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind = field.annotation if field else None
        else:
            kind = get_args(kind)[-1] if get_args(kind) else None
    kind = _without_none(kind)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _without_none(kind: Any) -> Any:  # noqa: ANN401 - annotations have no common type
    """Return an annotation without its metadata and without ``| None``."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in {Union, types.UnionType}:
            kind = next(each for each in get_args(kind) if each is not type(None))
        else:
            return kind


def _keys(owner: type[BaseModel] | None) -> list[str]:
    return list(owner.model_fields) if owner else []


def _missing(_: object, context: Context) -> str:
    field = context["owner"].model_fields[context["key"]] if context["owner"] else None
    return f"missing; give {field.description}" if field and field.description else "missing"


def _unknown(_: object, context: Context) -> str:
    keys = _keys(context["owner"])
    near = suggestion(context["key"], keys)
    return f"no such key{near}" if near else f"no such key; the keys here are {either(keys, 'and')}"


def _not_mapping(value: object, _: Context) -> str:
    return f"{shown(value)} is not a mapping of keys to values"


def _not_owner(value: object, context: Context) -> str:
    return f"{shown(value)} is not a mapping; its keys are {either(_keys(context['owner']), 'and')}"


def _not_list(value: object, _: Context) -> str:
    return f"{shown(value)} is not a list; write it like [a, b]"


def _not_text(value: object, _: Context) -> str:
    if isinstance(value, bool):
        return f"{shown(value)} is not a text; put it in quotes (yes, no, on and off are booleans in YAML too)"
    return f"{shown(value)} is not a text" + ("; put it in quotes" if isinstance(value, int | float) else "")


def _not_number(what: str) -> Callable[[object, Context], str]:
    def sentence(value: object, _: Context) -> str:
        quoted = isinstance(value, str) and number(value) is not None
        return f"{shown(value)} is not {what}" + ("; write it without quotes" if quoted else "")

    return sentence


def _bound(text: str, key: str) -> Callable[[object, Context], str]:
    def sentence(value: object, context: Context) -> str:
        bound = context[key]
        whole = isinstance(bound, float) and bound.is_integer()
        return f"{shown(value)} is out of range; it must be {text} {int(bound) if whole else bound}"

    return sentence


def _not_a_choice(value: object, context: Context) -> str:
    choices = re.findall(r"'([^']*)'", context["expected"])
    return f"{shown(value)} is not known{suggestion(value, choices)}; use {either(choices)}"


def _too_few(value: object, _: Context) -> str:
    return f"{shown(value)} without entries; give at least one"


def _own_words(_: object, context: Context) -> str:
    return str(context["error"])


def _not_accepted(value: object, _: Context) -> str:
    return f"{shown(value)} is not accepted here"


_SENTENCES: Mapping[str, Callable[[object, Context], str]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "model_type": _not_owner,
    "dict_type": _not_mapping,
    "list_type": _not_list,
    "string_type": _not_text,
    "int_type": _not_number("a whole number"),
    "float_type": _not_number("a number"),
    "finite_number": _not_number("a finite number"),
    "greater_than": _bound("above", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than": _bound("below", "lt"),
    "less_than_equal": _bound("at most", "le"),
    "literal_error": _not_a_choice,
    "too_short": _too_few,
    "value_error": _own_words,
}
