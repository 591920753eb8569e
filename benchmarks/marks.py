"""Figures in documents, between marks that name the command which writes them."""

from __future__ import annotations

__all__ = ["between_marks"]

END = "<!-- end -->"


def between_marks(document: str, command: str, text: str) -> str:
    """Return a document with the text between the marks that name the command."""
    begin = f"<!-- begin: {command} -->"
    before, found, rest = document.partition(begin)
    if not found:
        raise SystemExit(f"no {begin} in the file")
    return f"{before}{begin}\n\n{text}\n\n{END}{rest.partition(END)[2]}"
