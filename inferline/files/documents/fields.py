"""The kinds of value that documents hold: what is accepted, how it is read, and how JSON Schema says it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from inferline.errors import UnitError
from inferline.files.limits import MAX_NAME, MAX_RATE_QPS, MAX_SEED
from inferline.files.wording import shown
from inferline.units import parse_duration_ns, parse_price_nano_usd, parse_share

__all__ = [
    "AboveZero",
    "Cv2",
    "Document",
    "Duration",
    "Name",
    "Price",
    "Rate",
    "Seed",
    "Share",
    "Text",
    "exact_percentile",
    "name_fault",
]

_MOST_TEXT = 1000
_MOST_QUANTITY = 100
_NUMBER = r"([0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?|\.[0-9]+)"


class Document(BaseModel):
    """What all documents share: no unknown keys, no conversion between kinds of value."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def name_fault(name: str) -> str:
    r"""Return what is wrong with a name, or nothing: it is not blank, printable, and at most 100 characters long.

    Examples
    --------
    >>> name_fault("rank"), name_fault(""), name_fault("a\n")
    ('', "'' is blank; a name has at least one character", "'a\\n' has a character that cannot be printed")
    """
    if not name.strip():
        return f"{shown(name)} is blank; a name has at least one character"
    if len(name) > MAX_NAME:
        return f"{shown(name)} has {len(name)} characters; a name has at most {MAX_NAME}"
    if not name.isprintable():
        return f"{shown(name)} has a character that cannot be printed"
    return ""


def exact_percentile(percentile: float) -> Decimal:
    """Return a percentile as the decimal that its shortest text says: 99.9 is 999 of 1,000."""
    return Decimal(int(percentile)) if percentile == int(percentile) else Decimal(str(percentile))


def _named(name: str) -> str:
    if fault := name_fault(name):
        raise ValueError(fault)
    return name


def _written(text: str) -> str:
    if not text.strip():
        raise ValueError(f"{shown(text)} is blank; write a text")
    if len(text) > _MOST_TEXT:
        raise ValueError(f"{shown(text)} has {len(text)} characters; at most {_MOST_TEXT} are accepted")
    if not text.isprintable():
        raise ValueError(f"{shown(text)} has a character that cannot be printed")
    return text


def _quantity(parse: Callable[[object], Any], expected: str, least: int = 0) -> BeforeValidator:
    """Return a validator that reads a number with a unit; the parser's own sentences name the fault."""

    def read(value: object) -> Any:  # noqa: ANN401 - whatever the parser returns
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UnitError(f"{shown(value)} is not {expected}")
        if isinstance(value, str) and len(value) > _MOST_QUANTITY:
            raise UnitError(f"{shown(value)} is not {expected}")
        quantity = parse(value)
        if quantity < least:
            raise UnitError(f"{shown(value)} is too short; it must be at least 1ns")
        return quantity

    return BeforeValidator(read)


def _number_or_text(pattern: str, **bounds: float) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "number", **bounds}, {"type": "string", "pattern": pattern}]})


Name = Annotated[
    str,
    AfterValidator(_named),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_NAME}),
]
Text = Annotated[
    str,
    AfterValidator(_written),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": _MOST_TEXT}),
]
Duration = Annotated[
    int,
    _quantity(parse_duration_ns, "a duration; write a number with ns, us, ms, s, min or h, like 150ms", least=1),
    _number_or_text(rf"^\s*{_NUMBER}\s*(ns|us|ms|s|min|h)?\s*$", exclusiveMinimum=0),
]
"""Above 0, read as whole nanoseconds."""

Price = Annotated[
    int,
    _quantity(parse_price_nano_usd, "a price; write it like $0.526/h"),
    _number_or_text(rf"^\s*\$?\s*{_NUMBER}\s*(/\s*h)?\s*$", minimum=0, maximum=1_000_000),
]
"""Read as whole nano-dollars per hour."""

Share = Annotated[
    float,
    _quantity(parse_share, "a share; write it like 25% or 0.25"),
    _number_or_text(rf"^\s*{_NUMBER}\s*%?\s*$", exclusiveMinimum=0, maximum=1),
]
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Cv2 = Annotated[float, Field(ge=1e-9, le=1e9, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, le=MAX_RATE_QPS, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
