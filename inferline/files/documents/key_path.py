"""Key paths: where a value stands in a document of mappings and lists."""

from __future__ import annotations

import re
from collections.abc import Mapping

from inferline.files.wording import shown

__all__ = ["ABSENT", "KeyPath", "child", "key_path"]

KeyPath = tuple[str | int, ...]
"""Where a value stands in a document: ``("stages", "rank", "after", 1)``."""

ABSENT = object()
"""What `child` returns when there is nothing; None is a value."""

_PLAIN_KEY = re.compile(r"[\w-]{1,100}")


def child(node: object, part: str | int) -> object:
    """Return what stands at a key of a mapping or an index of a list, or `ABSENT`."""
    if isinstance(node, Mapping):
        return node.get(part, ABSENT)
    if isinstance(node, list) and isinstance(part, int) and part < len(node):
        return node[part]
    return ABSENT


def key_path(path: KeyPath) -> str:
    """Return a key path as text; a key that is no plain word stands in quotes.

    Examples
    --------
    >>> key_path(("stages", "rank", "after", 1, "stage")), key_path(("models", "v1.2"))
    ('stages.rank.after[1].stage', "models.'v1.2'")
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        word = part if _PLAIN_KEY.fullmatch(part) else shown(part)
        text += f".{word}" if text else word
    return text
