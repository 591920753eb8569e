"""What speaks against planning with measured profiles: where, when and how well their rows were measured.

The columns that ``inferline profile`` writes beside those of every profile are free text to all others: what cannot
be read there is passed over, so that profiles from elsewhere are no concern.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from inferline.files.documents.scalars import decimal
from inferline.files.profile_file.profiles import Key, ProfileTable
from inferline.files.wording import either

__all__ = ["OLD", "colocation_remark", "profile_concerns"]

OLD = timedelta(days=90)
"""Rows measured longer ago than this are a concern: drivers, libraries and models change."""

_WIDE_MEAN = 0.05
_WIDE_TAIL = 0.25
_ENVIRONMENT = re.compile(r"env-[0-9a-f]{10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One row that is used."""

    model: str
    hardware: str
    batch_size: int
    mean_s: float
    p99_s: float
    slowdown: float
    source: str
    extra: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.model} on {self.hardware}, batch size {self.batch_size}"

    def number(self, column: str) -> float:
        """Return the number in an extra column; NaN when it says none."""
        value = decimal(self.extra.get(column, ""))
        return float("nan") if value is None else value

    @property
    def measured_at(self) -> datetime | None:
        """When it was measured, in UTC; None when that cannot be read."""
        try:
            at = datetime.fromisoformat(self.extra.get("measured_at", "").strip())
        except ValueError:
            return None
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at

    @property
    def width_of_mean(self) -> float:
        """Half width of the confidence interval of the mean, as a share of it; 0 when that is not known."""
        return _known(self.number("latency_mean_ci_s") / self.mean_s)

    @property
    def width_of_tail(self) -> float:
        """The same of the P99."""
        width_s = self.number("latency_p99_high_s") - self.number("latency_p99_low_s")
        return _known(width_s / 2 / self.p99_s)


def profile_concerns(table: ProfileTable, used: Collection[Key], now: datetime) -> list[str]:
    """Return what speaks against planning with measured profiles, one sentence each, with what to do about it.

    Parameters
    ----------
    table
        The profiles, with their extra columns.
    used
        The (model, hardware) whose rows are planned with.
    now
        The time, with its zone.

    Returns
    -------
    list of str
        In this order: rows of one hardware from several environments (the id of an environment covers the cores and
        accelerators of the replica, so that different hardware has different ones); rows measured longer ago than
        `OLD`; rows whose mean is known to no better than 5 % or whose P99 to no better than 25 %; rows that were not
        measured to their end. Nothing for rows that do not say.
    """
    lines = list(_lines(table, used))
    return [*_environments(lines), *_age(lines, now), *_confidence(lines), *_unfinished(lines)]


def colocation_remark(table: ProfileTable, used: Collection[Key]) -> str:
    """Return the sentence that says which rows are planned with times a measured slowdown; nothing when none is."""
    lines = [line for line in _lines(table, used) if line.slowdown > 0]
    if not lines:
        return ""
    together = sorted({number for line in lines if (number := line.number("colocated")) > 0})
    replicas = _range(together, "g") if together else "several"
    of_hardware: dict[str, list[float]] = {}
    for line in lines:
        of_hardware.setdefault(line.hardware, []).append(line.slowdown)
    ranges = [f"{name}: slowdown {_range(slowdowns, '.2f')}" for name, slowdowns in of_hardware.items()]
    return f"planned with profiles measured while {replicas} replicas shared the machine ({', '.join(ranges)})"


def _lines(table: ProfileTable, used: Collection[Key]) -> Iterator[_Line]:
    place = 0
    for (model, hardware), profile in table.profiles.items():
        for i, batch_size in enumerate(profile.batch_size.tolist()):
            if (model, hardware) in used:
                yield _Line(
                    model=model,
                    hardware=hardware,
                    batch_size=batch_size,
                    mean_s=float(profile.latency_mean_s[i]),
                    p99_s=float(profile.latency_p99_s[i]),
                    slowdown=float(profile.colocated_slowdown[i]),
                    source=profile.source[i].strip(),
                    extra={name: texts[place] for name, texts in table.extra.items()},
                )
            place += 1


def _environments(lines: list[_Line]) -> Iterator[str]:
    known = [line for line in lines if _ENVIRONMENT.fullmatch(line.source)]
    for hardware in dict.fromkeys(line.hardware for line in known):
        here = [line for line in known if line.hardware == hardware]
        rows = Counter(line.source for line in here)
        if len(rows) < 2:
            continue
        counts = either(
            [f"{source}: {count} row{'s' if count > 1 else ''}" for source, count in rows.most_common()], "and"
        )
        models = Counter(model for model, _ in {(line.model, line.source) for line in here})
        mixed = sorted(model for model, sources in models.items() if sources > 1)
        within = f", mixed within {either(mixed, 'and')}" if mixed else ""
        yield (
            f"profiles on {hardware} were measured in {len(rows)} environments ({counts}){within}; "
            f"measure all in one: inferline profile ... --hardware {hardware} --resume"
        )


def _age(lines: list[_Line], now: datetime) -> Iterator[str]:
    old = [(at, line) for line in lines if (at := line.measured_at) is not None and now - at > OLD]
    if old:
        oldest, line = min(old, key=lambda each: each[0])
        yield (
            f"{_rows(len(old))} measured more than {OLD.days} days ago, the oldest ({line}) on {oldest:%Y-%m-%d}; "
            "measure again: inferline profile ..., without --resume"
        )


def _confidence(lines: list[_Line]) -> Iterator[str]:
    def badness(line: _Line) -> float:
        return max(line.width_of_mean / _WIDE_MEAN, line.width_of_tail / _WIDE_TAIL)

    wide = [line for line in lines if badness(line) > 1]
    if wide:
        worst = max(wide, key=badness)
        known = (("mean", worst.width_of_mean), ("P99", worst.width_of_tail))
        widths = either([f"{name} within {width:.0%}" for name, width in known if width > 0], "and")
        yield (
            f"{_rows(len(wide))} not measured well, the worst {worst} ({widths}); "
            "measure longer: inferline profile ..., with a larger --budget"
        )


def _unfinished(lines: list[_Line]) -> Iterator[str]:
    cut = [line for line in lines if line.extra.get("stopped", "").strip() == "unfinished"]
    if cut:
        yield (
            f"{_rows(len(cut))} not measured to the end, the first {cut[0]}; "
            "measure the rest: inferline profile ... --resume"
        )


def _known(width: float) -> float:
    return width if width > 0 else 0.0


def _rows(count: int) -> str:
    return "1 row was" if count == 1 else f"{count} rows were"


def _range(values: Collection[float], form: str) -> str:
    """Return the least and the greatest of some numbers, once when they look the same."""
    ends = [format(each, form) for each in (min(values), max(values))]
    return " to ".join(dict.fromkeys(ends))
