"""What a stage's arrivals come to for a scraper that looks every few seconds: the most of them in short windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inferline.units import NANO

__all__ = ["ENVELOPE_SPAN_NS", "ENVELOPE_WINDOWS_NS", "envelope"]

ENVELOPE_SPAN_NS = 60 * NANO
"""How far back arrivals count."""

ENVELOPE_WINDOWS_NS = (*(50_000_000 * 2**i for i in range(11)), ENVELOPE_SPAN_NS)
"""Windows: doubling from 50 ms while below 60 s, then 60 s (Crankshaw et al., SoCC 2020, section 5)."""

_BIN_NS = 2_000_000
_BINS = ENVELOPE_SPAN_NS // _BIN_NS


def envelope(instants_ns: Sequence[int], now_ns: int) -> list[int]:
    """Return, for each of `ENVELOPE_WINDOWS_NS`, the most arrivals of the last 60 s in any window of that length.

    Never too few; too many by what comes within 2 ms beside the window, because arrivals are counted in bins of 2 ms.
    That makes it O(arrivals + bins) with a small constant: it is done in the loop that serves queries.

    Parameters
    ----------
    instants_ns
        Non-decreasing, up to now.
    now_ns
        Now, on the same clock.

    Examples
    --------
    >>> burst = [59 * NANO + offset for offset in (0, 1_000_000, 2_000_000, 300_000_000)]
    >>> envelope(burst, 60 * NANO)[:4]
    [3, 3, 3, 4]
    """
    ago_ns = now_ns - np.asarray(instants_ns, dtype=np.int64)
    bins = ago_ns[(ago_ns >= 0) & (ago_ns < ENVELOPE_SPAN_NS)] // _BIN_NS
    until = np.concatenate(([0], np.cumsum(np.bincount(bins, minlength=_BINS))))
    most = []
    for window_ns in ENVELOPE_WINDOWS_NS:
        touched = min(_BINS, window_ns // _BIN_NS + 1)
        most.append(int((until[touched:] - until[:-touched]).max()))
    return most
