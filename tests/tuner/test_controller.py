"""Ticks of the controller as timelines: (seconds, what it said)."""

from __future__ import annotations

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st


def test_a_change_is_asked_for_once_and_confirmed_when_replicas_serve(play, two_stages):
    played = play(two_stages())
    played.tick({"detect": 4})
    played.ticks(2)  # they start
    played.serve()
    played.tick()
    assert played.log == [(1, "scale detect 2->4"), (4, "confirmed detect 2->4")]
    assert played.policy.notes == [1, 2, 3, 4]


def test_a_stage_has_one_unconfirmed_change_until_its_time_out(play, two_stages):
    played = play(two_stages())
    played.tick({"detect": 4})
    played.tick({"detect": 6})
    played.ticks(40)  # none of them ever serves
    assert played.log == [
        (1, "scale detect 2->4"),
        (31, "unconfirmed detect 2->4"),
        (31, "scale detect 4->6"),
    ]


def test_nothing_goes_down_while_something_is_on_its_way_up(play, two_stages):
    played = play(two_stages())
    played.tick({"detect": 4, "read": 1})
    played.tick()
    played.serve()
    played.ticks(2)
    assert played.log == [(1, "scale detect 2->4"), (3, "confirmed detect 2->4"), (3, "scale read 2->1")]


def test_what_goes_down_makes_room_for_what_goes_up(play, two_stages):
    played = play(two_stages(limit=4))
    played.tick({"detect": 3, "read": 1})
    played.serve()
    played.ticks(2)
    assert played.log == [
        (1, "limited detect 2->3"),
        (1, "scale read 2->1"),
        (2, "confirmed read 2->1"),
        (2, "scale detect 2->3"),
    ]


def test_a_stage_goes_down_to_the_most_that_was_wanted_in_a_while(play, two_stages):
    played = play(two_stages(), calm_ns={"detect": 5 * 10**9, "read": 0})
    for count in (6, 5, 6, 5, 3, 4, 3, 3, 3, 3, 3, 3):
        played.tick({"detect": count})
        played.serve()
    scaled = [each for each in played.log if each[1].startswith("scale")]
    assert scaled == [
        (1, "scale detect 2->6"),
        (8, "scale detect 6->5"),
        (9, "scale detect 5->4"),
        (11, "scale detect 4->3"),
    ]


def test_lost_metrics_hold_everything_and_are_said_once(play, two_stages):
    played = play(two_stages(), settle_ns=3 * 10**9)
    played.ticks(3)
    played.metrics = False
    played.tick({"detect": 1, "read": 5})
    played.ticks(19)
    played.metrics = True
    played.ticks(2)
    played.serve()
    played.ticks(2)
    assert played.log == [
        (9, "lost"),  # more than five ticks after the last look
        (24, "metrics_back"),
        (24, "scale read 2->5"),
        (26, "confirmed read 2->5"),
        (27, "scale detect 2->1"),  # windows have filled again
    ]


def test_metrics_that_were_never_there_are_said_at_the_second_tick(play, two_stages):
    played = play(two_stages())
    played.metrics = False
    played.ticks(5)
    assert played.log == [(2, "lost")]
    assert played.policy.notes == []


def test_the_same_metrics_are_not_decided_upon_twice(play, two_stages):
    played = play(two_stages())
    played.tick()
    played.metrics = False
    played.ticks(3)
    assert (played.policy.notes, played.log) == ([1], [])


def test_a_jump_of_the_clock_begins_windows_anew(play, two_stages):
    played = play(two_stages(), settle_ns=4 * 10**9)
    played.ticks(6)
    played.tick({"detect": 1}, after_s=3600)
    played.ticks(5)
    assert played.log == [(3606, "jumped"), (3610, "scale detect 2->1")]
    assert played.policy.notes == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5]


def test_another_process_of_the_server_begins_windows_anew(play, two_stages):
    played = play(two_stages(), settle_ns=4 * 10**9)
    played.ticks(6)
    played.source, played.source_s = "two", 106.0
    played.tick({"detect": 1})
    played.ticks(5)
    assert played.log == [(7, "restarted"), (11, "scale detect 2->1")]
    assert played.policy.notes == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5]


def test_a_failed_attempt_is_repeated_ever_later_and_the_decision_stays(play, two_stages):
    played = play(two_stages())
    played.refuse = "out of quota"
    played.tick({"detect": 4})
    played.metrics = False  # the decision stays even when nothing more is seen
    played.ticks(20)
    asked = [at for at, change in played.asked if change.after == 4]
    assert asked == [1, 3, 6, 11, 20]  # heard a tick later, then after 1, 2, 4 and 8 s
    played.refuse = ""
    played.ticks(20)
    assert played.requested == {"detect": 4, "read": 2}


def test_a_scale_up_that_fails_again_and_again_keeps_nothing_up(play, two_stages):
    played = play(two_stages())
    played.refuse = "out of quota"
    played.tick({"detect": 4, "read": 1})
    played.ticks(12)
    changes = [(change.stage, change.after) for _, change in played.asked]
    assert changes[:4] == [("detect", 4), ("detect", 4), ("detect", 4), ("read", 1)]


def test_a_failed_attempt_that_took_place_all_the_same_is_no_operator(play, two_stages):
    played = play(two_stages())
    played.refuse = "no answer within 10 s"
    played.tick({"detect": 4})
    played.tick()
    played.requested["detect"] = played.ready["detect"] = 4
    played.ticks(2)
    assert played.log == [
        (1, "scale detect 2->4"),
        (2, "failed detect 2->4"),
        (3, "landed detect 2->4"),
        (3, "confirmed detect 2->4"),
    ]


def test_a_change_that_comes_replica_by_replica_is_no_operator(play, two_stages):
    played = play(two_stages())
    played.tick({"detect": 6})
    for count in (3, 5):
        played.requested["detect"] = played.ready["detect"] = count
        played.tick()
    played.requested["detect"] = played.ready["detect"] = 6
    played.ticks(2)
    assert played.log == [(1, "scale detect 2->6"), (4, "confirmed detect 2->6")]


def test_a_count_beside_the_way_is_an_operator(play, two_stages):
    played = play(two_stages())
    played.tick({"detect": 6})
    played.requested["detect"] = played.ready["detect"] = 7
    played.tick()
    assert played.log == [(1, "scale detect 2->6"), (2, "operator detect 2->7")]


def test_what_somebody_else_sets_stays_for_a_while(play, two_stages):
    played = play(two_stages(), operator_ns=5 * 10**9)
    played.tick({"detect": 3})
    played.serve()
    played.tick()
    played.requested["detect"] = played.ready["detect"] = 7
    played.ticks(6)
    assert played.log == [
        (1, "scale detect 2->3"),
        (2, "confirmed detect 2->3"),
        (3, "operator detect 3->7"),
        (8, "reconciled detect"),
        (8, "scale detect 7->3"),
    ]


def test_nobody_gets_below_the_floor(play, two_stages):
    played = play(two_stages(least=2))
    played.tick({"detect": 0})
    played.requested["detect"] = played.ready["detect"] = 1
    played.tick()
    assert played.log == [(2, "operator detect 2->1"), (2, "scale detect 1->2")]


def test_who_is_below_its_floor_gets_what_there_is_first(play, two_stages):
    played = play(two_stages(least=2, limit=5))
    played.tick()
    played.requested["read"] = played.ready["read"] = 0
    played.tick({"detect": 4})
    assert played.log[1:] == [(2, "limited detect 2->4"), (2, "scale read 0->2"), (2, "scale detect 2->3")]


def test_who_stands_by_watches_and_takes_over_with_its_windows(play, two_stages):
    played = play(two_stages())
    played.leading = False
    played.tick({"detect": 4})
    played.requested["read"] = played.ready["read"] = 3  # the leader's change is nobody's manual one
    played.ticks(2)
    played.leading = True
    played.tick({"detect": 4, "read": 3})
    assert played.log == [(1, "standby"), (4, "leading"), (4, "scale detect 2->4")]
    assert played.policy.notes == [1, 2, 3, 4]
    played.leading = False
    played.tick({"detect": 1})
    assert played.requested["detect"] == 4
    assert played.log[3:] == [(5, "standby")]


def test_a_target_that_cannot_be_asked_holds_everything(play, two_stages):
    played = play(two_stages())
    played.tick()
    played.target = False
    played.tick({"detect": 4})
    played.ticks(3)
    played.target = True
    played.tick()
    assert played.log == [(2, "unreachable"), (6, "target_back"), (6, "scale detect 2->4")]


def test_a_dry_run_says_each_decision_once_and_asks_for_nothing(play, two_stages):
    played = play(two_stages(), dry_run=True)
    played.tick({"detect": 4, "read": 1})
    played.ticks(3)
    played.tick({"detect": 5})
    assert played.asked == []
    assert played.log == [
        (1, "would_scale detect 2->4"),
        (1, "would_scale read 2->1"),
        (5, "would_scale detect 2->5"),
    ]


COUNTS = st.integers(0, 12)
STAGES = st.sampled_from(("detect", "read"))
EVENTS = st.one_of(
    st.tuples(st.just("wants"), STAGES, COUNTS),
    st.tuples(st.just("edit"), STAGES, COUNTS),
    st.tuples(st.just("ready"), STAGES, COUNTS),
    st.tuples(st.just("serve"), st.none(), st.none()),
    st.tuples(st.just("metrics"), st.none(), st.booleans()),
    st.tuples(st.just("target"), st.none(), st.booleans()),
    st.tuples(st.just("refuse"), st.none(), st.sampled_from(("", "no"))),
    st.tuples(st.just("leading"), st.none(), st.booleans()),
    st.tuples(st.just("source"), st.none(), st.sampled_from(("one", "two"))),
    st.tuples(st.just("jump"), st.none(), st.sampled_from((0.5, 12.0, 3600.0))),
    st.tuples(st.just("ticks"), st.none(), st.integers(1, 20)),
)


@example([("wants", "detect", 3), ("edit", "read", 0)], 4, 2)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(EVENTS, max_size=40), st.sampled_from((None, 4, 7)), st.integers(1, 2))
def test_whatever_happens_bounds_hold_and_changes_come_one_by_one(play, two_stages, events, limit, least):
    played = play(two_stages(limit=limit, least=least), settle_ns=2 * 10**9, operator_ns=10**10)
    checked = 0
    for event in [*events, ("ticks", None, 3)]:
        after_s = happen(played, event)
        for _ in range(event[2] if event[0] == "ticks" else 1):
            before, open_changes = (
                dict(played.requested),
                {name: at.asked for name, at in played.state.stages.items() if at.asked is not None},
            )
            failed = set(played.refused)
            played.tick(after_s=after_s)
            for _, change in played.asked[checked:]:
                check(played, change, before, open_changes, failed, limit, least)
            checked = len(played.asked)


def happen(played, event):
    kind, stage, value = event
    if kind == "wants":
        played.policy.wants[stage] = value
    elif kind == "edit":
        played.requested[stage] = value
    elif kind == "ready":
        played.ready[stage] = value
    elif kind == "serve":
        played.serve()
    elif kind == "jump":
        return value
    elif kind == "source":
        played.source, played.source_s = value, played.now_s
    elif kind != "ticks":
        setattr(played, kind, value)
    return 1.0


def check(played, change, before, open_changes, failed, limit, least):
    assert played.leading
    assert played.target
    assert change.before == before[change.stage] != change.after
    asked = {name: at.asked.after for name, at in played.state.stages.items() if at.asked is not None}
    taken = sum(max(count, asked.get(name, 0)) for name, count in before.items())
    assert change.after >= least or (change.after > change.before and taken >= limit)
    if change.after > change.before:
        assert change.after <= 9
        others = sum(count for name, count in before.items() if name != change.stage)
        assert limit is None or change.after + others <= limit
    else:
        assert played.metrics or played.now_s - played.seen_s <= 5
        risen = [each for each in open_changes.values() if each.after > each.before]
        assert not [
            each
            for each in risen
            if each.since_ns > (played.now_s - 30) * 1e9 and each in [at.asked for at in played.state.stages.values()]
        ]
    earlier = open_changes.get(change.stage)
    if earlier is not None and change.stage not in failed:
        name = change.stage
        over = played.now_s * 1e9 - earlier.since_ns >= 30e9
        confirmed = (
            before[name] == earlier.after and played.ready[name] >= earlier.after
            if earlier.after > earlier.before
            else before[name] == earlier.after and played.ready[name] <= earlier.after
        )
        edited = before[name] != earlier.after
        assert over or confirmed or edited
