"""Profiles as a picture: latency and throughput against the batch size, one line for each hardware."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inferline.pictures import Picture, drawing, empty_figure, finished, shortened, time_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Curve", "draw_profiles"]

_COLORS = ("#2f6690", "#d97706", "#3f7d3a", "#8a4fa3", "#b3261e", "#0f766e", "#6b7280", "#a16207")
_PANEL_HEIGHT = 2.9
_MOST_TICKS = 9
_FLAT = 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """One model on one hardware; NaN where nothing is known.

    Parameters
    ----------
    model, hardware
        What was measured.
    batch_size
        float64 (k,), ascending.
    mean_s, mean_ci_s
        float64 (k,): mean latency of a batch, half width of its 95 % interval.
    p99_s, p99_low_s, p99_high_s
        float64 (k,): the P99 and its 95 % interval.
    throughput_qps
        float64 (k,).
    """

    model: str
    hardware: str
    batch_size: NDArray[np.float64]
    mean_s: NDArray[np.float64]
    mean_ci_s: NDArray[np.float64]
    p99_s: NDArray[np.float64]
    p99_low_s: NDArray[np.float64]
    p99_high_s: NDArray[np.float64]
    throughput_qps: NDArray[np.float64]


def draw_profiles(curves: Sequence[Curve]) -> Picture:
    """Draw latency (mean with its interval, P99 with its own) and throughput against batch size, a row per model.

    Parameters
    ----------
    curves
        At least one; those of one model share a row, and a hardware has one colour throughout.
    """
    models = list(dict.fromkeys(curve.model for curve in curves))
    hardware = list(dict.fromkeys(curve.hardware for curve in curves))
    color = {name: _COLORS[i % len(_COLORS)] for i, name in enumerate(hardware)}
    with drawing("profiles"):
        figure = empty_figure(9, 0.3 + _PANEL_HEIGHT * len(models))
        panels = figure.subplots(len(models), 2, squeeze=False, width_ratios=(1, 1))
        for model, (left, right) in zip(models, panels, strict=True):
            of = [curve for curve in curves if curve.model == model]
            _draw_latency(left, of, color)
            _draw_throughput(right, of, color)
            left.set_title(f"{shortened(model)}: latency of a batch")
            right.set_title("Throughput of one replica")
            for axes in (left, right):
                _set_batch_axis(axes, of)
        return finished("profiles", figure)


def _draw_latency(axes: Axes, curves: Sequence[Curve], color: dict[str, str]) -> None:
    unit, per_s = time_unit(max(float(np.nanmax([*curve.mean_s, *curve.p99_s])) for curve in curves))
    tails = False
    for curve in curves:
        at, own = curve.batch_size, color[curve.hardware]
        half = np.nan_to_num(curve.mean_ci_s)
        low, high = (np.maximum(curve.mean_s + sign * half, curve.mean_s / 10) * per_s for sign in (-1, 1))
        axes.fill_between(at, low, high, color=own, alpha=0.25, lw=0)
        axes.plot(at, curve.mean_s * per_s, color=own, marker="o", markersize=3.5, label=shortened(curve.hardware))
        if np.all(np.isnan(curve.p99_s)):
            continue
        tails = True
        low, high = (np.where(np.isnan(end), curve.p99_s, end) for end in (curve.p99_low_s, curve.p99_high_s))
        spread = np.maximum(0.0, [curve.p99_s - low, high - curve.p99_s]) * per_s
        axes.errorbar(
            at, curve.p99_s * per_s, yerr=spread, color=own, ls=":", marker="_", markersize=6, lw=1.1,
            elinewidth=0.9, capsize=2, alpha=0.9,
        )  # fmt: skip
    if tails:
        axes.plot([], [], color="#374151", ls=":", marker="_", markersize=6, lw=1.1, label="P99")
    axes.set_ylabel(f"latency ({unit})")
    _set_height(axes, np.concatenate([values for curve in curves for values in (curve.mean_s, curve.p99_s)]) * per_s)
    axes.legend(loc="best")


def _draw_throughput(axes: Axes, curves: Sequence[Curve], color: dict[str, str]) -> None:
    for curve in curves:
        axes.plot(curve.batch_size, curve.throughput_qps, color=color[curve.hardware], marker="o", markersize=3.5)
    axes.set_ylabel("queries/s")
    _set_height(axes, np.concatenate([curve.throughput_qps for curve in curves]))


def _set_height(axes: Axes, values: NDArray[np.float64]) -> None:
    """Begin at 0, or space values by their ratios where the small ones would lie flat on the ground."""
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    if most < _FLAT * least:
        axes.set_ylim(0, None)
        return
    from matplotlib.ticker import LogLocator  # noqa: PLC0415 - optional; `drawing` has named the extra

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 1000 * least else (1,)))
    axes.set_ylim(least / 1.5, most * 1.5)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.yaxis.set_minor_formatter(lambda value, _: "")  # noqa: ARG005 - matplotlib's signature


def _set_batch_axis(axes: Axes, curves: Sequence[Curve]) -> None:
    """Space batch sizes by their ratios, and name those that were measured, as many as have room."""
    sizes = sorted({float(size) for curve in curves for size in curve.batch_size})
    axes.set_xscale("log", base=2)
    apart = math.log2(sizes[-1] / sizes[0]) / _MOST_TICKS if sizes[-1] > sizes[0] else 0.0
    shown = sizes[:1]
    for size in sizes[1:]:
        if math.log2(size / shown[-1]) >= 0.75 * apart:
            shown.append(size)
    axes.set_xticks(shown, [f"{size:.0f}" for size in shown])
    axes.set_xticks([], minor=True)
    axes.set_xlim(sizes[0] / 1.15, sizes[-1] * 1.15)
    axes.grid(axis="y", color="#e5e7eb", lw=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel("batch size")
