"""Texts with units to numbers, and back; nothing else in InferLine converts.

Durations become whole nanoseconds, prices whole nano-dollars per hour: sums of integers are exact, so that two
plans of equal cost compare equal and the same input always gives the same bytes.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

from inferline.errors import UnitError

__all__ = [
    "MAX_TIME_NS",
    "NANO",
    "ceil_ns",
    "format_duration",
    "format_usd",
    "parse_duration_ns",
    "parse_price_nano_usd",
    "parse_share",
]

NANO = 1_000_000_000
"""Nanoseconds in a second, and nano-dollars in a dollar."""

MAX_TIME_NS = 2**62
"""Times above this are refused: sums of two still fit in a signed 64-bit integer."""

_NS_PER_UNIT = {"ns": 1, "us": 10**3, "ms": 10**6, "s": NANO, "min": 60 * NANO, "h": 3600 * NANO}
_NUMBER = r"[0-9]{1,30}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,2})?|\.[0-9]{1,30}"
_DURATION = re.compile(rf"({_NUMBER})\s*([a-zA-Z]*)")
_PRICE = re.compile(rf"\$?\s*({_NUMBER})\s*(?:/\s*h)?")
_SHARE = re.compile(rf"({_NUMBER})\s*(%?)")


def _decimal(value: object) -> Decimal:
    """Return a number as the decimal that its shortest text says; refuse NaN, infinities and booleans."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise UnitError(f"{value!r} is not a number")
    number = Decimal(str(value))
    if not number.is_finite():
        raise UnitError(f"{value!r} is not a finite number")
    return number


def parse_duration_ns(value: object) -> int:
    """Read a duration as whole nanoseconds (rounded half to even).

    Parameters
    ----------
    value
        Number with a unit (``"150ms"``), or a bare number of seconds.

    Raises
    ------
    UnitError
        When it is no duration, is negative, or is above 2**62 ns (146 years).

    Examples
    --------
    >>> parse_duration_ns("150ms"), parse_duration_ns("2 min"), parse_duration_ns(0.3)
    (150000000, 120000000000, 300000000)
    """
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            raise UnitError(f"{value!r} is not a duration; write a number with ns, us, ms, s, min or h, like 150ms")
        number, unit = Decimal(match[1]), match[2] or "s"
        if unit not in _NS_PER_UNIT:
            raise UnitError(f"unknown unit {unit!r} in {value!r}; use ns, us, ms, s, min or h")
    else:
        number, unit = _decimal(value), "s"
    if number < 0:
        raise UnitError(f"{value!r} is negative; a duration is 0 or more")
    nanoseconds = number * _NS_PER_UNIT[unit]
    if nanoseconds > MAX_TIME_NS:
        raise UnitError(f"{value!r} is longer than 146 years (2**62 ns), the most that is accepted")
    return int(nanoseconds.to_integral_value(ROUND_HALF_EVEN))


def parse_price_nano_usd(value: object) -> int:
    """Read a price as whole nano-dollars per hour.

    Parameters
    ----------
    value
        ``"$0.526/h"``, or a bare number of dollars per hour.

    Raises
    ------
    UnitError
        When it is no price, or is negative or above $1,000,000/h.

    Examples
    --------
    >>> parse_price_nano_usd("$0.526/h"), parse_price_nano_usd(2)
    (526000000, 2000000000)
    """
    if isinstance(value, str):
        match = _PRICE.fullmatch(value.strip())
        if match is None:
            raise UnitError(f"{value!r} is not a price; write it like $0.526/h")
        number = Decimal(match[1])
    else:
        number = _decimal(value)
    if not 0 <= number <= 1_000_000:
        raise UnitError(f"{value!r} is out of range; a price lies between $0/h and $1000000/h")
    return int((number * NANO).to_integral_value(ROUND_HALF_EVEN))


def parse_share(value: object) -> float:
    """Read a share in (0, 1]: ``"25%"`` or ``0.25``.

    Raises
    ------
    UnitError
        When it is no share, or lies outside (0, 1].

    Examples
    --------
    >>> parse_share("25%"), parse_share(1)
    (0.25, 1.0)
    """
    if isinstance(value, str):
        match = _SHARE.fullmatch(value.strip())
        if match is None:
            raise UnitError(f"{value!r} is not a share; write it like 25% or 0.25")
        number = Decimal(match[1]) / (100 if match[2] else 1)
    else:
        number = _decimal(value)
    if not 0 < number <= 1:
        raise UnitError(f"{value!r} is out of range; a share lies above 0 and is at most 100%")
    return float(number)


def ceil_ns(seconds: float | Fraction) -> int:
    """Round seconds up to whole nanoseconds, at least 1; a float counts as its shortest decimal text.

    ``0.07`` is 70,000,000 ns, although the nearest double times 1e9 lies a hair above.

    Examples
    --------
    >>> ceil_ns(0.07), ceil_ns(1e-12)
    (70000000, 1)
    """
    exact = seconds if isinstance(seconds, Fraction) else Fraction(str(seconds))
    return max(1, -((-exact.numerator * NANO) // exact.denominator))


def format_duration(nanoseconds: float) -> str:
    """Write a duration for people, with three significant digits.

    Examples
    --------
    >>> [format_duration(x) for x in (150_000_000, 1_234_567, 999_999_999, 90_000_000_000, 0)]
    ['150 ms', '1.23 ms', '1 s', '90 s', '0 s']
    """
    for unit, size in (("s", NANO), ("ms", 10**6), ("us", 10**3)):
        number = nanoseconds / size
        if float(f"{number:.3g}") >= 1:  # 999.9 ms reads as 1 s
            return f"{number:.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"
    return f"{nanoseconds:.0f} ns" if nanoseconds else "0 s"


def format_usd(nano_usd: int) -> str:
    """Write a price per hour for people: cents, and more digits below a dollar.

    Examples
    --------
    >>> format_usd(5_790_000_000), format_usd(66_500_000), format_usd(999_999_999)
    ('$5.79', '$0.0665', '$1.00')
    """
    dollars = nano_usd / NANO
    return f"${dollars:,.2f}" if round(dollars, 4) >= 1 or nano_usd == 0 else f"${dollars:.4f}"
