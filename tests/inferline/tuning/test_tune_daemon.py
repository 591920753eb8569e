"""``inferline tune daemon`` on a deployment: a real core, replicas as processes, a real Prometheus."""

from __future__ import annotations

import re
import signal
from contextlib import closing

import httpx
import pytest

from inferline.calculus import max_arrivals
from inferline.errors import OutsideError
from inferline.units import NANO
from serving_adapter.arrivals import CoreArrivals, PrometheusArrivals
from serving_adapter.client.admin import AdminClient
from tests.inferline.tuning.burst import FORGETFUL, NEEDED, UP_S, burst, until
from tests.inferline.tuning.traffic import Traffic

pytestmark = pytest.mark.live

SCRAPE_S = 1.0


def test_a_burst_is_met_and_left_behind_once(deployed):
    daemon = deployed.daemon(*FORGETFUL, "--arrivals", f"core://{deployed.admin}")
    daemon.await_ready()
    burst(deployed.told["predict_url"], deployed.told["admin_url"], daemon).check()
    assert not daemon.said("operator"), daemon.lines
    metrics = daemon.health("/metrics").text
    assert 'inferline_tuner_changes_total{direction="up"' in metrics
    assert "inferline_tuner_leading 1.0" in metrics
    before = deployed.requested()
    assert daemon.end(signal.SIGTERM) == 0
    assert daemon.said("left")
    assert deployed.requested() == before
    assert httpx.post(deployed.told["predict_url"], json={"input": 3}, timeout=20).json()["output"] == 7


def test_scrapes_are_enough(deployed, prometheus):
    until(lambda: scraped(prometheus))
    daemon = deployed.daemon(*FORGETFUL, "--arrivals", f"prometheus://{prometheus}")
    daemon.await_ready()
    # What is scraped says for a minute how dense the burst was, so it is the burst's own need that is left at first.
    told, left = deployed.told, NEEDED["double"]
    burst(told["predict_url"], told["admin_url"], daemon, down_to=left).check(up_s=UP_S + SCRAPE_S)
    assert not daemon.said("operator"), daemon.lines
    assert daemon.end(signal.SIGTERM) == 0


def test_a_burst_between_two_scrapes_is_in_what_is_rebuilt(deployed, prometheus):
    def total():
        found = scraped(prometheus)
        return sum(float(each["value"][1]) for each in found if each["metric"]["model"] == "numbers.double")

    until(lambda: scraped(prometheus))
    before = total()
    url = deployed.told["predict_url"]
    assert httpx.post(url, json={"input_batch": [3] * 12}, timeout=20).status_code == 200
    until(lambda: total() >= before + 12)
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


def test_the_second_daemon_takes_over_when_the_first_dies(deployed):
    first = deployed.daemon()
    first.await_ready()
    second = deployed.daemon()
    second.await_said("standby")
    assert "inferline_tuner_leading 0.0" in second.health("/metrics").text
    assert second.health("/ready").status_code == 200
    first.end(signal.SIGKILL)
    second.await_said("leading", 10)
    assert second.end(signal.SIGINT) == 130


def test_a_dry_run_asks_for_nothing(deployed):
    before = deployed.requested()
    daemon = deployed.daemon("--dry-run", "--policy", "twin")
    daemon.await_said("tuning")
    with Traffic(deployed.told["predict_url"], 7, (10, 60)) as sent:
        daemon.await_said("would_scale stage=double", 10)
        sent.stop()
    assert deployed.requested() == before
    assert daemon.end(signal.SIGTERM) == 0
    assert not daemon.said("tick_failed"), daemon.lines
