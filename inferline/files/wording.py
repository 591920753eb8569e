"""Words for faults: values as the user wrote them, suggestions, lists of what would be accepted."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from itertools import islice

__all__ = ["either", "listed", "shown", "suggestion"]

_LONGEST_SHOWN = 60
_MOST_LISTED = 12
_MOST_COMPARED = 300


def shown(value: object) -> str:
    """Return a value on one short line, in the words of YAML and JSON rather than of Python.

    Examples
    --------
    >>> [shown(each) for each in (None, True, 3, "a", [1], {}, "x" * 100)][:6]
    ['an empty value', 'true', '3', "'a'", 'a list', 'a mapping']
    """
    if value is None:
        return "an empty value"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        return repr(value) if len(value) <= _LONGEST_SHOWN else repr(value[:_LONGEST_SHOWN]) + "..."
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def suggestion(name: object, known: Collection[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known name that is closest, or nothing when none is close.

    Examples
    --------
    >>> suggestion("transalte", ["translate", "rank"]), suggestion("zzz", ["rank"])
    (" (did you mean 'translate'?)", '')
    """
    # Comparing is quadratic; beyond these sizes a suggestion is not worth the wait.
    if not isinstance(name, str) or len(name) > 100 or len(known) > _MOST_COMPARED:
        return ""
    by_folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), list(by_folded), n=1)
    return f" (did you mean {shown(by_folded[close[0]])}?)" if close else ""


def either(words: Collection[object], last: str = "or", in_all: int | None = None) -> str:
    """Return a list of words as people write it, cut when it is long.

    Examples
    --------
    >>> either(["a", "b", "c"]), either(["a"]), either([]), either(range(99))
    ('a, b or c', 'a', 'none', '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ... (99 in all)')
    """
    in_all = len(words) if in_all is None else in_all
    texts = [str(word) for word in islice(words, _MOST_LISTED)]
    if in_all > len(texts):
        return ", ".join(texts) + f", ... ({in_all} in all)"
    if len(texts) < 2:
        return texts[0] if texts else "none"
    return ", ".join(texts[:-1]) + f" {last} {texts[-1]}"


def listed(names: Collection[str]) -> str:
    """Return names in quotes, as people list them, cut when they are many.

    Examples
    --------
    >>> listed(["k80", "cpu-1"])
    "'k80' and 'cpu-1'"
    """
    return either([shown(name) for name in islice(names, _MOST_LISTED)], "and", in_all=len(names))
