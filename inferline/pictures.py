"""Pictures of latency, budget, traffic and cost, drawn with matplotlib; no global state, the same bytes every time.

matplotlib is optional: it is imported when the first picture is drawn.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inferline.calculus import traffic_envelope
from inferline.domain import Envelope, Prediction, Slo, Trace
from inferline.domain.slo import nearest_rank
from inferline.errors import InputError
from inferline.units import NANO, format_duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "SERVICE",
    "Picture",
    "draw_budget",
    "draw_costs",
    "draw_latency",
    "draw_sweep",
    "draw_traffic",
    "drawing",
    "empty_figure",
    "finished",
    "shortened",
    "time_unit",
]

SERVICE, WAITING, LIMIT, QUIET = "#2f6690", "#f2a65a", "#b3261e", "#6b7280"

_STYLE: dict[str, Any] = {
    "axes.edgecolor": "#9ca3af",
    "axes.labelcolor": "#374151",
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.constrained_layout.w_pad": 0.09,
    "font.size": 9,
    "legend.fontsize": 8,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a stage may be called "$x$"
    "xtick.color": "#4b5563",
    "ytick.color": "#4b5563",
}
_SHORTEST_FIRST_WINDOW_NS = 1_000_000
_BINS = 240
_LONGEST_LABEL = 28


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A drawn figure; notebooks show it, `save` writes it.

    Parameters
    ----------
    name
        What it shows, in a word; makes the ids inside its SVG its own.
    figure
        The matplotlib figure, to be changed at will.
    """

    name: str
    figure: Figure

    def save(self, path: str | Path) -> None:
        """Write the picture; the suffix says the format (.svg, .png, .pdf)."""
        with drawing(self.name):
            self.figure.savefig(Path(path), dpi=150)

    def svg(self) -> str:
        """Return the picture as an ``<svg>`` element for HTML, without date, version or names of its groups."""
        text = io.StringIO()
        with drawing(self.name):
            self.figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        element = text.getvalue()
        element = element[element.index("<svg") :]
        element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
        # The ids of clip paths are digests of where they are to the last bit, and layouts differ in the last bits.
        for number, found in enumerate(dict.fromkeys(re.findall(r'id="([a-z][0-9a-f]{10})"', element))):
            element = element.replace(found, f"{self.name}-{number}")
        return re.sub(r'<g id="[^"]*"', "<g", element).strip()

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        with drawing(self.name):
            self.figure.savefig(data, format="png", dpi=96, metadata={"Software": None})
        return data.getvalue()


def draw_latency(latency_s: NDArray[np.float64], slo: Slo) -> Picture:
    """Draw the latency distribution, and the share of queries that are slower than each latency.

    Parameters
    ----------
    latency_s
        float64 (queries,).
    slo
        Its latency is the red line, its percentile the level that the tail must have fallen to there.
    """
    with drawing("latency"):
        figure = empty_figure(9, 3)
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        ordered = np.sort(latency_s)
        slo_s = slo.latency_ns / NANO
        shown_s = max(1.08 * slo_s, min(float(ordered[-1]), 2.5 * slo_s))
        unit, per_s = time_unit(shown_s)
        counts, edges = np.histogram(ordered, bins=80, range=(0.0, shown_s))
        left.stairs(100 * counts / ordered.size, edges * per_s, fill=True, color=SERVICE)
        at_s = float(ordered[nearest_rank(slo.percentile, ordered.size) - 1])
        left.axvline(slo_s * per_s, color=LIMIT, label=f"SLO {format_duration(slo.latency_ns)}")
        if at_s <= shown_s:
            label = f"P{slo.percentile} {format_duration(at_s * NANO)}"
            left.axvline(at_s * per_s, color="#111827", linestyle=":", label=label)
        beyond = ordered.size - int(np.searchsorted(ordered, shown_s, side="right"))
        note = f"; {beyond:,} queries lie further right" if beyond else ""
        left.set(title="Queries by latency", xlabel=f"latency ({unit}){note}", ylabel="% of queries")
        left.set(xlim=(0, shown_s * per_s), ylim=(0, None))
        left.legend(loc="upper right")
        _draw_tail(right, ordered, slo, shown_s)
        return finished("latency", figure)


def _draw_tail(axes: Axes, ordered: NDArray[np.float64], slo: Slo, shown_s: float) -> None:
    """Draw how many queries are slower than x, on a logarithmic scale: there a miss of 1 in 1,000 still shows."""
    # As many points as pixels: a step for each query would make the picture megabytes.
    at = np.linspace(0.0, shown_s, 400)
    slower = (ordered.size - np.searchsorted(ordered, at, side="right")) / ordered.size
    unit, per_s = time_unit(shown_s)
    axes.semilogy(at * per_s, np.where(slower > 0, slower * 100, np.nan), color=SERVICE, drawstyle="steps-post")
    axes.axvline(slo.latency_ns / NANO * per_s, color=LIMIT)
    allowed = 100 - float(slo.percentile)
    if allowed > 0:
        axes.axhline(allowed, color=QUIET, linestyle="--", linewidth=0.9)
        axes.annotate(f"{allowed:g}% may be late", (0.02, allowed), (0, 3), xycoords=("axes fraction", "data"),
                      textcoords="offset points", color=QUIET, fontsize=8)  # fmt: skip
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:g}%")
    axes.set(title="Queries slower than", xlabel=f"latency ({unit})", xlim=(0, shown_s * per_s))


def draw_budget(predicted: Prediction, slo: Slo) -> Picture:
    """Draw what the slowest queries spend at each stage, as shares of the SLO; one bar per stage, one for all."""
    names = [*predicted.stages, "all together"]
    waiting = [100 * stage.budget_wait for stage in predicted.stages.values()]
    service = [100 * stage.budget_service for stage in predicted.stages.values()]
    waiting.append(sum(waiting))
    service.append(sum(service))
    with drawing("budget"):
        figure = empty_figure(9, 1.1 + 0.34 * len(names))
        axes = figure.subplots()
        rows = np.arange(len(names))
        axes.barh(rows, service, color=SERVICE, label="in service", height=0.66)
        axes.barh(rows, waiting, left=service, color=WAITING, label="waiting", height=0.66)
        for row, spent in enumerate(np.add(service, waiting).tolist()):
            label = "<1%" if 0 < spent < 0.5 else f"{spent:.0f}%"  # 0% is said of nothing but 0
            axes.annotate(label, (spent, row), (4, 0), textcoords="offset points", va="center", color=QUIET)
        axes.axvline(100, color=LIMIT, label=f"SLO {format_duration(slo.latency_ns)}")
        axes.axhline(len(names) - 1.5, color="#d1d5db", linewidth=0.8)
        axes.set_yticks(rows, [shortened(name) for name in names])
        axes.invert_yaxis()
        axes.set(xlabel="% of the SLO", title=f"What the slowest queries (at and beyond P{slo.percentile}) spend")
        axes.set_xlim(0, 1.08 * max(100.0, service[-1] + waiting[-1]))
        axes.legend(loc="lower left", bbox_to_anchor=(1.0, 0.0))
        return finished("budget", figure)


def draw_traffic(trace: Trace, envelope: Envelope | None = None) -> Picture:
    """Draw the rate over time, and the highest rate in any window of each length (the traffic envelope).

    Parameters
    ----------
    trace
        What is drawn.
    envelope
        Of a plan; computed for windows of 1 ms and longer when None.
    """
    shown = traffic_envelope(trace, _SHORTEST_FIRST_WINDOW_NS) if envelope is None else envelope
    with drawing("traffic"):
        figure = empty_figure(9, 2.9)
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        bin_s, rates = _rates(trace)
        edges = np.arange(rates.size + 1) * bin_s
        unit, per_s = time_unit(float(edges[-1]))
        left.stairs(rates, edges * per_s, fill=True, color="#9cc3de")
        left.axhline(
            trace.mean_qps, color=QUIET, linestyle="--", linewidth=0.9, label=f"mean {trace.mean_qps:,.0f}/s"
        )
        left.set(title=f"Rate over time (in steps of {format_duration(bin_s * NANO)})", xlabel=f"time ({unit})")
        left.set(ylabel="queries/s", xlim=(0, float(edges[-1]) * per_s), ylim=(0, float(rates.max()) * 1.2))
        left.legend(loc="upper right")
        highest = np.asarray(shown.max_queries) / np.asarray(shown.window_s)
        right.plot(shown.window_s, highest, color=SERVICE, marker="o", markersize=3.5)
        right.axhline(trace.mean_qps, color=QUIET, linestyle="--", linewidth=0.9)
        right.set(xscale="log", title="Traffic envelope: busiest window", xlabel="length of the window")
        right.xaxis.set_major_formatter(lambda window_s, _: format_duration(window_s * NANO))
        right.set(ylabel="queries/s", ylim=(0, float(highest.max()) * 1.1))
        return finished("traffic", figure)


def draw_costs(names: Sequence[str], usd_per_hour: Sequence[float]) -> Picture:
    """Draw costs as bars; NaN stands for: infeasible."""
    known = [0.0 if math.isnan(cost) else cost for cost in usd_per_hour]
    with drawing("costs"):
        figure = empty_figure(9, 0.9 + 0.36 * len(known))
        axes = figure.subplots()
        axes.barh(np.arange(len(known)), known, color=SERVICE, height=0.66)
        for row, cost in enumerate(usd_per_hour):
            label = "infeasible" if math.isnan(cost) else f"${cost:,.2f}"
            color = LIMIT if math.isnan(cost) else "#111827"
            axes.annotate(label, (known[row], row), (4, 0), textcoords="offset points", va="center", color=color)
        axes.set_yticks(np.arange(len(known)), [shortened(name) for name in names])
        axes.invert_yaxis()
        axes.set(xlabel="$ per hour", title="Cost", xlim=(0, 1.12 * max([*known, 1e-9])))
        return finished("costs", figure)


def draw_sweep(
    sweep: str,
    values: Sequence[float],
    usd_per_hour: Sequence[float | None],
    bound_usd_per_hour: Sequence[float | None],
    *,
    title: str = "Cost",
) -> Picture:
    """Draw cost against a swept figure; what is not proved optimal reaches down to its bound.

    Parameters
    ----------
    sweep
        ``slo`` (values in seconds), ``rate`` (factors) or ``percentile``; says the axis. Percentiles are spaced by
        the share of queries that may be late.
    values
        Of the swept figure.
    usd_per_hour, bound_usd_per_hour
        Cost, and what no plan can cost less than; None where there is no plan.
    title
        Of the picture.
    """
    places = [1 - value / 100 for value in values] if sweep == "percentile" else list(values)
    found = [
        (place, cost, cost if bound is None else bound)
        for place, cost, bound in zip(places, usd_per_hour, bound_usd_per_hour, strict=True)
        if cost is not None
    ]
    missing = [place for place, cost in zip(places, usd_per_hour, strict=True) if cost is None]
    with drawing("sweep"):
        figure = empty_figure(9, 3.4)
        axes = figure.subplots()
        if found:
            at, costs, bounds = (np.asarray(column) for column in zip(*found, strict=True))
            axes.plot(at, costs, color=SERVICE, marker="o", markersize=4.5, label="cheapest plan")
            if np.any(bounds < costs):
                axes.vlines(at, bounds, costs, color=WAITING, linewidth=3, label="not proved: down to the bound")
        if missing:
            axes.plot(missing, np.zeros(len(missing)), "x", color=LIMIT, label="no plan", clip_on=False)
        axes.set(xscale="log", title=title, ylabel="$ per hour", ylim=(0, 1.1 * max([c for _, c, _ in found] or [1])))
        if sweep == "percentile":
            axes.invert_xaxis()
        # The values themselves, as many as have room: nobody reads powers of ten in between.
        shown = range(0, len(places), max(1, math.ceil(len(places) / 12)))
        axes.set_xticks([places[k] for k in shown], [_swept(sweep, values[k]) for k in shown])
        axes.set_xticks([], minor=True)
        axes.set_xlabel({"slo": "SLO latency", "rate": "factor on the rate"}.get(sweep, "percentile of the SLO"))
        axes.legend(loc="best")
        return finished("sweep", figure)


def _swept(sweep: str, value: float) -> str:
    if sweep == "slo":
        return format_duration(value * NANO)
    return f"{value:g}x" if sweep == "rate" else f"P{value:g}"


def drawing(name: str) -> AbstractContextManager[None]:
    """Return a context in which figures have the style of these pictures, and SVG ids that are the name's own.

    Raises
    ------
    InputError
        When matplotlib is missing; names the extra.
    """
    try:
        import matplotlib  # noqa: PLC0415 - optional
    except ImportError as error:
        raise InputError("pictures need matplotlib: pip install 'inferline[notebook]'") from error
    style: Any = {**_STYLE, "svg.hashsalt": f"inferline-{name}"}  # its keys are typed in some releases only
    context: AbstractContextManager[None] = matplotlib.rc_context(style)
    return context


def empty_figure(width: float, height: float) -> Figure:
    """Return an empty figure (inches) that pyplot knows nothing of, so that nothing has to be closed."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - optional; `drawing` has named the extra

    return Figure(figsize=(width, height), layout="constrained")


def finished(name: str, figure: Figure) -> Picture:
    """Fix the layout: solved again for every output, it would move by a hair, and so would the bytes."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return Picture(name, figure)


def _rates(trace: Trace) -> tuple[float, NDArray[np.float64]]:
    """Return the length of a step in seconds and the rate in each; at most `_BINS` steps, whole seconds if long."""
    step_ns = max(1, -(-trace.duration_ns // _BINS))
    if trace.duration_ns > 10 * NANO:
        step_ns = -(-step_ns // NANO) * NANO
    counts = np.bincount(trace.arrival_ns // step_ns)
    lengths_ns = np.full(counts.size, step_ns, dtype=np.int64)
    # The last step may be cut by the end of the trace.
    lengths_ns[-1] = max(1, min(step_ns, trace.duration_ns - (counts.size - 1) * step_ns))
    return step_ns / NANO, counts * NANO / lengths_ns


def time_unit(seconds: float) -> tuple[str, float]:
    """Return the unit in which a length of time reads well, and how many of it make a second."""
    for unit, size_s in (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if seconds >= (3 if size_s >= 60 else 1) * size_s:
            return unit, 1 / size_s
    return "us", 1e6


def shortened(name: str) -> str:
    """Return a name as long as a label may be."""
    return name if len(name) <= _LONGEST_LABEL else name[: _LONGEST_LABEL - 1] + "\u2026"
