"""What is to be done to a set: decisions alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving_adapter.replicas.docker.changes import Standing, changes
from serving_adapter.replicas.docker.seen import Seen, phase_of


def seen(number: int, status: str, *, stopping: bool = False, error: str = "") -> Seen:
    return Seen(
        id=str(number),
        name=f"replica-{number}" + ".stopping.1" * stopping,
        labels={},
        status=status,
        created_s=float(number),
        started_s=float(number),
        exit_code=0,
        error=error,
        restarts=0,
    )


def standing(number: int, status: str, *, ready: bool = False, stopping: bool = False) -> Standing:
    found = seen(number, status, stopping=stopping)
    return Standing(found, phase_of(found, ready=ready))


def ids(those) -> list[str]:
    return [each.id for each in those]


def test_phases():
    assert [
        phase_of(seen(1, "created"), ready=False),
        phase_of(seen(1, "running"), ready=False),
        phase_of(seen(1, "running"), ready=True),
        phase_of(seen(1, "restarting"), ready=False),
        phase_of(seen(1, "exited"), ready=False),
        phase_of(seen(1, "created", error="no such runtime"), ready=False),
        phase_of(seen(1, "running", stopping=True), ready=True),
    ] == ["starting", "starting", "ready", "failed", "failed", "failed", "stopping"]


def test_not_ready_ones_go_first_and_then_the_newest():
    there = [
        standing(1, "running", ready=True),
        standing(2, "running"),
        standing(3, "running", ready=True),
        standing(4, "restarting"),
    ]
    assert [ids(changes(there, wanted).end) for wanted in (4, 3, 2, 1, 0)] == [
        [],
        ["4"],
        ["4", "2"],
        ["4", "2", "3"],
        ["4", "2", "3", "1"],
    ]


def test_what_nobody_starts_again_is_started():
    there = [standing(1, "exited"), standing(2, "restarting"), standing(3, "created"), standing(4, "running")]
    due = changes(there, 5)
    assert (due.create, sorted(ids(due.begin)), ids(due.end)) == (1, ["1", "3"], [])


@given(
    st.lists(
        st.tuples(st.sampled_from(["created", "running", "restarting", "exited"]), st.booleans(), st.booleans()),
        max_size=8,
    ),
    st.integers(0, 8),
)
def test_afterwards_there_are_as_many_as_wanted(drawn, wanted):
    there = [standing(i, status, ready=ready, stopping=stopping) for i, (status, ready, stopping) in enumerate(drawn)]
    due = changes(there, wanted)
    alive = {each.seen.id for each in there if each.phase != "stopping"}
    ended = set(ids(due.end))
    assert ended <= alive
    assert len(alive) - len(ended) + due.create == wanted
    assert not (ended and due.create)
    assert not ended & set(ids(due.begin))
    # Nothing that is ready is ended while something that is not is kept.
    kept_unready = [each for each in there if each.phase not in {"stopping", "ready"} and each.seen.id not in ended]
    assert not kept_unready or all(each.phase != "ready" for each in there if each.seen.id in ended)
