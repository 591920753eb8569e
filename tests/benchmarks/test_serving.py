"""What the serving benchmark decides without a server: queries, what a tree of processes uses, comparisons."""

import json
import os
import subprocess
import sys
import time

import pytest

from benchmarks.serving_peers.comparison import claim_lines, claims, comparison_tables, highest_rates
from benchmarks.serving_peers.measuring import Cell
from benchmarks.serving_peers.mlserver_rest import MLSERVER
from benchmarks.serving_peers.processes import cpu_s, descendants, memory_bytes
from benchmarks.serving_peers.queries import Queries
from benchmarks.serving_peers.system import json_body

NOOP = ("noop", 16, 1)
SLEEPER = "import time; time.sleep(60)"


def answer(body):
    return json.loads(body)["output"]


def cell(system, *, connections=None, rate=None, why="", errors=None, p50_ms=1.0, p99_ms=5.0, qps=100.0, **more):
    asked = {"model": "noop", "size": 16, "replicas": 1, "memory_bytes": 2**20, "cpu_s_per_1000": 1.0, **more}
    return Cell(
        system=system,
        connections=connections,
        asked_qps=rate,
        seconds=1.0,
        served_qps=qps,
        p50_s=p50_ms / 1e3,
        p99_s=None if p99_ms is None else p99_ms / 1e3,
        errors=errors or {},
        generator_share=0.1,
        others_cores=0.0,
        why=why,
        **asked,
    )


def found(cells, what, peer="Peer"):
    return next(claim for claim in claims(cells) if claim.what.startswith(what) and claim.peer == peer)


class TestQueries:
    def test_no_two_are_alike(self):
        queries = Queries(4, json_body, answer)
        bodies = [body for count in (100, 1, 200) for body in queries.some(count)[0]]
        inputs = [tuple(json.loads(body)["input"]) for body in bodies]
        assert len(set(inputs)) == 301
        assert {len(each) for each in inputs} == {4}
        assert [each[0] for each in inputs] == list(range(1, 302))

    def test_numbers_are_written_as_doubles(self):
        [body], _ = Queries(2, json_body, answer).some(1)
        assert body.startswith(b'{"input":[1.0,0.')

    def test_a_reply_has_to_belong_to_its_query(self):
        queries = Queries(2, json_body, answer)
        queries.some(10)
        _, check = queries.some(100)
        assert check(16, b'{"output":27.0}')
        assert not check(16, b'{"output":26.0}')
        assert check(32 + 1600, b'{"output":43.0}'), "the hundred come again"

    @pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"output":"x"}', b'{"output":null}'])
    def test_what_is_no_reply_is_wrong(self, body):
        _, check = Queries(2, json_body, answer).some(100)
        assert not check(0, body)

    def test_most_replies_are_taken_as_they_are(self):
        _, check = Queries(2, json_body, answer).some(100)
        assert [query for query in range(64) if not check(query, b"")] == [0, 16, 32, 48]

    def test_a_text_within_json_is_json(self):
        [body], _ = Queries(3, MLSERVER.body, MLSERVER.answer).some(1)
        [text] = json.loads(body)["inputs"][0]["data"]
        assert json.loads(text)[0] == 1.0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
class TestProcesses:
    def test_descendants_are_found_and_end(self):
        program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEPER!r}])"
        with subprocess.Popen([sys.executable, "-c", program]) as parent:
            end = time.monotonic() + 10
            while len(everything := descendants([parent.pid])) < 2:
                assert time.monotonic() < end
                time.sleep(0.01)
            assert all(each.alive for each in everything)
            assert memory_bytes(everything) > memory_bytes(everything[:1]) > 2**20
            for each in everything:
                each.kill()
            parent.wait()
            assert descendants([parent.pid]) == []

    def test_time_of_children_that_have_ended_counts(self):
        [this] = [each for each in descendants([os.getpid()]) if each.pid == os.getpid()]
        before = cpu_s([this])
        subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
        assert cpu_s([this]) > before

    def test_another_process_of_the_same_number_is_not_meant(self):
        [this] = [each for each in descendants([os.getpid()]) if each.pid == os.getpid()]
        later = type(this)(this.pid, this.start + 1)
        assert this.alive
        assert not later.alive
        later.kill()
        assert cpu_s([later]) == 0


class TestClaims:
    def test_more_requests_are_better(self):
        cells = [cell("InferLine", connections=64, qps=300), cell("Peer", connections=64, qps=100)]
        claim = found(cells, "requests/s")
        assert claim.ratios == {NOOP: 3.0}
        assert claim.ahead

    def test_less_overhead_is_better_and_is_without_the_model(self):
        model = {"model": "affine", "connections": 1}
        cells = [cell("InferLine", p50_ms=7.5, **model), cell("Peer", p50_ms=6.5, **model)]
        claim = found(cells, "overhead")
        assert claim.ratios == {("affine", 16, 1): pytest.approx(0.5)}
        assert not claim.ahead

    def test_medians_over_rounds_are_compared(self):
        ours = [cell("InferLine", connections=64, qps=qps) for qps in (90, 110, 500)]
        assert found([*ours, cell("Peer", connections=64)], "requests/s").ratios == {NOOP: 1.1}

    def test_a_cell_that_does_not_count_is_no_figure(self):
        ours, theirs = cell("InferLine", connections=64, qps=300), cell("Peer", connections=64)
        late = cell("InferLine", connections=64, qps=900, why="late")
        assert found([ours, late, theirs], "requests/s").ratios == {NOOP: 3.0}
        assert found([late, theirs], "requests/s").ratios == {NOOP: 0.0}
        assert not found([late, theirs], "requests/s").ahead

    def test_equal_loads_are_compared_at_the_highest_rate_that_both_sustain(self):
        cells = [
            cell("InferLine", rate=100, p99_ms=2.0),
            cell("InferLine", rate=200, p99_ms=4.0),
            cell("InferLine", rate=400, p99_ms=5.0),
            cell("Peer", rate=100, p99_ms=3.0),
            cell("Peer", rate=200, p99_ms=6.0),
            cell("Peer", rate=400, p99_ms=1500.0),
        ]
        assert found(cells, "P99").ratios == {NOOP: 1.5}
        assert highest_rates(cells) == {NOOP: {"InferLine": 400, "Peer": 200}}

    def test_a_second_chance_counts(self):
        noise, calm = cell("Peer", rate=100, why="late"), cell("Peer", rate=100)
        assert highest_rates([noise, calm]) == {NOOP: {"Peer": 100}}
        assert highest_rates([noise, noise, calm]) == {}

    @pytest.mark.parametrize("bad", [{"errors": {"timeout": 1}}, {"p99_ms": None}, {"p99_ms": 1001}, {"why": "x"}])
    def test_what_is_not_sustained(self, bad):
        assert not cell("Peer", rate=100, **bad).sustained
        assert highest_rates([cell("Peer", rate=100, **bad)]) == {}

    def test_a_third_of_the_echo(self):
        cells = [cell("InferLine", connections=64, qps=90), cell("ASGI echo", connections=64, qps=300)]
        claim = found(cells, "requests/s of the no-op", peer="ASGI echo")
        assert claim.ratios == {NOOP: pytest.approx(0.9)}
        assert not claim.ahead

    def test_lines_and_tables_say_it(self):
        cells = [
            cell("InferLine", connections=64, qps=300),
            cell("Peer", connections=64, qps=100),
            cell("InferLine", rate=100),
            cell("Peer", rate=100),
        ]
        lines = claim_lines(claims(cells))
        assert lines[0] == (
            "requests/s at 64 connections, against Peer: 3.00x to 3.00x better in 1 setups "
            "(least with noop, 16 numbers, 1 replica); ahead: yes"
        )
        assert lines[1] == "overhead at one connection, against Peer: no figures"
        assert "| noop, 16 numbers, 1 replica | 300 | 100 |" in comparison_tables(cells)[0]
        assert (
            "| noop, 16 numbers, 1 replica: Peer | 100 | 5.0 | 5.0 | 1.000 | 1.000 |" in comparison_tables(cells)[-1]
        )
