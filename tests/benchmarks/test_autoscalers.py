"""What the benchmark of autoscalers concludes from its figures."""

from __future__ import annotations

import pytest

from benchmarks.autoscalers import COARSE, EXAMPLES, OURS, PEAK_QPS, RIVALS, Row, headline, rescaled, totals, verdicts
from inferline.domain.arrivals import PerSecondCounts
from inferline.files import read_trace

OTHERS = ("inferline", *RIVALS, *COARSE)


def rows(figures, cells=5):
    """Return rows of as many equal cells; every policy without figures misses 100 of 1,000 for $2."""
    return [
        Row(
            pipeline="p",
            trace=f"t{cell}",
            activation_s=5,
            policy=policy,
            queries=1_000,
            late=figures.get(policy, (100, 2.0))[0],
            cost_usd=figures.get(policy, (100, 2.0))[1],
            oscillations=0,
            seconds=0.1,
        )
        for cell in range(cells)
        for policy in (*OURS, *OTHERS)
    ]


def said(of, *words):
    [line] = [line for line in verdicts(of) if all(word in line for word in words)]
    return line


def test_a_tenth_of_the_misses_at_no_higher_cost_is_shown():
    of = rows({"twin": (10, 2.0), "certified": (11, 2.0)})
    assert said(of, "twin misses", "hpa").startswith("shown")
    assert said(of, "certified misses", "hpa").startswith("NOT SHOWN")
    assert said(rows({"twin": (10, 2.1)}), "twin misses", "kpa").startswith("NOT SHOWN")


def test_against_the_paper_both_figures_count_in_total_and_in_cells():
    better = rows({"twin": (90, 1.9)})
    assert said(better, "twin neither", "inferline").startswith("shown")
    mixed = [row for row in better if row.trace != "t0"] + [
        row for row in rows({"twin": (0, 2.1)}) if row.trace == "t0"
    ]
    lines = list(verdicts(mixed))
    at = next(place for place, line in enumerate(lines) if "twin neither" in line)
    assert lines[at].startswith("shown")
    assert lines[at + 1].startswith("shown")
    assert lines[at + 1].endswith("in 4 of 5")
    lines = list(verdicts(rows({"twin": (90, 2.1)})))
    assert [line[:9] for line in lines if "twin neither" in line] == ["NOT SHOWN"]
    assert any(line.endswith("in 0 of 5") for line in lines)


def test_totals_are_over_all_queries():
    total = totals(rows({"twin": (10, 2.0)}))["twin"]
    assert (total.queries, total.late, total.cost_usd, total.miss_rate) == (5_000, 50, 10.0, 0.01)


def test_the_headline_is_the_largest_ratio_of_any_cell():
    [first] = [line for line in headline(rows({"twin": (4, 1.0)})) if line.startswith("twin against cg-mean")]
    assert "up to 2.0x lower cost, up to 25.0x lower miss rate" in first
    [never] = [line for line in headline(rows({"twin": (0, 1.0)})) if line.startswith("twin against cg-mean")]
    assert "missed nothing in 5 of 5 cells" in never


@pytest.mark.parametrize("file", sorted((EXAMPLES / "traces").glob("*.csv.gz")), ids=lambda file: file.name[:20])
def test_traces_are_scaled_down_to_the_peak_and_never_up(file):
    found = read_trace(file)
    peak = found.peak if isinstance(found, PerSecondCounts) else found.peak_qps()
    assert rescaled(file).peak_qps() == min(peak, PEAK_QPS)
