"""``inferline tune daemon`` on a deployment: a real core, replicas as processes, a real Prometheus."""

from __future__ import annotations

import re
import signal
from contextlib import closing
from itertools import pairwise

import httpx
import pytest

from inferline.calculus import max_arrivals
from inferline.errors import OutsideError
from inferline.units import NANO
from serving_adapter.arrivals import CoreArrivals, PrometheusArrivals
from serving_adapter.client.admin import AdminClient

pytestmark = pytest.mark.live

QUICK = ("--activation", "1s", "--settle", "2s", "--confirm-within", "15s", "--calm", "6s")
SLO_S = 0.8


def turns(changes):
    """Return how often a stage's changes change their direction."""
    ups = [after > before for before, after in changes]
    return sum(one != other for one, other in pairwise(ups))


def burst(deployed, traffic, wait_until, *options):
    """Send ten times the planned traffic for 12 s; return the daemon and the traffic."""
    daemon = deployed.daemon(*QUICK, *options)
    daemon.await_said("tuning")
    wait_until(lambda: daemon.health("/ready").status_code == 200)
    before = deployed.requested()
    with traffic(deployed.told["predict_url"], (2, 4), (12, 40), (2, 4)) as sent:
        wait_until(lambda: deployed.requested()["double"] > before["double"], 14)
    with traffic(deployed.told["predict_url"], (60, 4)) as quiet:
        wait_until(lambda: any(after < start for start, after in daemon.scaled("double")), 50)
        quiet.stop()
    return daemon, sent


def check(daemon, sent):
    changes = daemon.scaled("double")
    assert changes[0][0] < changes[0][1]
    assert max(after for _, after in changes) >= 4  # 40 queries/s at 12.5 queries/s for each replica
    assert turns(changes) <= 1, "\n".join(line for line in daemon.lines if "httpx" not in line and "HTTP" not in line)
    assert turns(daemon.scaled("add")) <= 1
    assert not daemon.said("tick_failed"), daemon.lines
    assert not daemon.said("operator"), daemon.lines
    assert not daemon.said("lost"), daemon.lines
    return sent.late(8, 14, SLO_S)


def told(sent, daemon):
    """Return the share of late queries by second, and the log."""
    shares = [round(sent.late(second, second + 1, SLO_S), 2) for second in range(16)]
    return "\n".join([str(shares), *daemon.lines])


def test_a_burst_is_met_and_left_behind_once(deployed, traffic, wait_until):
    daemon, sent = burst(deployed, traffic, wait_until, "--arrivals", f"core://{deployed.admin}")
    late = check(daemon, sent)
    assert late <= 0.05, told(sent, daemon)
    metrics = daemon.health("/metrics").text
    assert 'inferline_tuner_changes_total{direction="up"' in metrics
    assert "inferline_tuner_leading 1.0" in metrics
    before = deployed.requested()
    assert daemon.end(signal.SIGTERM) == 0
    assert daemon.said("left")
    assert deployed.requested() == before
    assert httpx.post(deployed.told["predict_url"], json={"input": 3}, timeout=20).json()["output"] == 7


def test_scrapes_are_enough(deployed, traffic, wait_until, prometheus):
    wait_until(lambda: scraped(prometheus))
    daemon, sent = burst(deployed, traffic, wait_until, "--arrivals", f"prometheus://{prometheus}")
    late = check(daemon, sent)
    assert late <= 0.05, told(sent, daemon)
    assert daemon.end(signal.SIGTERM) == 0


def test_a_burst_between_two_scrapes_is_in_what_is_rebuilt(deployed, prometheus, wait_until):
    def total():
        found = scraped(prometheus)
        return sum(float(each["value"][1]) for each in found if each["metric"]["model"] == "numbers.double")

    wait_until(lambda: scraped(prometheus))
    before = total()
    url = deployed.told["predict_url"]
    assert httpx.post(url, json={"input_batch": [3] * 12}, timeout=20).status_code == 200
    wait_until(lambda: total() >= before + 12)
    with (
        closing(PrometheusArrivals(f"http://{prometheus}", "numbers", ["double", "add"])) as scrapes,
        closing(CoreArrivals(AdminClient(deployed.told["admin_url"]), "numbers")) as core,
    ):
        rebuilt, exact = scrapes.look(), core.look()
        assert (rebuilt.start, rebuilt.age_ns < 3 * NANO) == (exact.start, True)
        assert abs(exact.now_ns - rebuilt.now_ns) < 5 * NANO
        for stage in ("double", "add"):
            seen, there = rebuilt.stages[stage], exact.stages[stage]
            assert seen.replicas == there.replicas
            recent = there.arrival_ns[there.arrival_ns > exact.now_ns - 5 * NANO]
            assert max_arrivals(seen.arrival_ns, NANO // 20) >= max_arrivals(recent, NANO // 20)
        assert max_arrivals(rebuilt.stages["double"].arrival_ns, NANO // 20) >= 12
    for where, stage, words in (
        (prometheus, "dubble", "knows nothing of model 'numbers.dubble'"),
        ("127.0.0.1:9", "double", "Prometheus at http://127.0.0.1:9: "),
    ):
        with (
            closing(PrometheusArrivals(f"http://{where}", "numbers", [stage])) as scrapes,
            pytest.raises(OutsideError, match=re.escape(words)),
        ):
            scrapes.look()


def scraped(prometheus):
    query = {"query": "inferline_stage_arrivals_total"}
    return httpx.get(f"http://{prometheus}/api/v1/query", params=query, timeout=5).json()["data"]["result"]


def test_the_second_daemon_takes_over_when_the_first_dies(deployed, wait_until):
    first = deployed.daemon(*QUICK)
    wait_until(lambda: first.health("/ready").status_code == 200)
    second = deployed.daemon(*QUICK)
    second.await_said("standby")
    assert "inferline_tuner_leading 0.0" in second.health("/metrics").text
    assert second.health("/ready").status_code == 200
    first.end(signal.SIGKILL)
    second.await_said("leading", 10)
    assert second.end(signal.SIGINT) == 130


def test_a_dry_run_asks_for_nothing(deployed, traffic, wait_until):
    before = deployed.requested()
    daemon = deployed.daemon(*QUICK, "--dry-run", "--policy", "twin")
    daemon.await_said("tuning")
    with traffic(deployed.told["predict_url"], (5, 60)):
        daemon.await_said("would_scale stage=double", 10)
    assert deployed.requested() == before
    assert daemon.end(signal.SIGTERM) == 0
    assert not daemon.said("tick_failed"), daemon.lines
