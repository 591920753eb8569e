"""Applications with several models, as timelines: who is asked, what is made of the answers, what is learnt."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from serving_adapter.core import endpoints
from serving_adapter.core.endpoints import Endpoint


@pytest.fixture
def ensemble(serving):
    """Return what makes a core with models `m`, `n` and `o`, a replica each, and an application of that policy."""

    def make(policy, *, slo=100, cache_bytes=0, seed=0):
        s = serving(replicas=0, seed=seed, cache_bytes=cache_bytes)
        for name in "mno":
            s.version(f"{name}:1")
            s.replica(f"{name}:1")
        s.app("app", "m", "n", "o", slo=slo, policy=policy)
        return s

    return make


def asked(s):
    """Return how often each model was asked."""
    return Counter(text[0] for _, text in s.log if " takes " in text)


def teach(s, when, label, outputs, uid=0):
    """Give feedback; each model says the output that is its own."""
    s.at(when, s.feedback, f"x{when}", label, uid=uid)
    for identity in list(s.sent):
        s.at(when, s.answer, identity.decode(), outputs[identity.decode()[0]])


def test_exp4_asks_all_and_answers_when_all_have(ensemble):
    s = ensemble("Exp4")
    s.at(0, s.ask, "a")
    s.at(10, s.answer, "m:1/0", "1")
    s.at(20, s.answer, "n:1/0", "0")
    s.at(30, s.answer, "o:1/0", "1")
    assert s.log == [(0, "m:1/0 takes a"), (0, "n:1/0 takes a"), (0, "o:1/0 takes a"), (30, "a = 1")]
    assert s.clock.set == []


def test_exp4_combines_at_the_deadline_what_is_there(ensemble):
    s = ensemble("Exp4", slo=100)
    s.at(0, s.ask, "a b")
    s.at(10, s.answer, "n:1/0", "0")
    s.at(200, s.answer, "m:1/0", "1")
    assert s.log[3:] == [
        (10, "n:1/0 takes b"),
        (100, "a = 0"),
        (100, "b = none, late"),
        (200, "m:1/0 takes b"),
    ]


def test_nobody_waits_for_a_model_without_a_replica_or_for_one_that_has_died(ensemble):
    s = ensemble("Exp4")
    s.die("o:1/0")
    s.at(0, s.ask, "a")
    s.at(10, s.answer, "m:1/0", "1")
    s.at(20, s.die, "n:1/0")
    assert s.log == [(0, "m:1/0 takes a"), (0, "n:1/0 takes a"), (20, "a = 1")]
    s.at(30, s.die, "m:1/0")
    s.at(40, s.ask, "b")
    assert s.log[3:] == [(40, "b = none, no models")]


def test_a_model_that_is_cached_is_not_asked(ensemble):
    s = ensemble("Exp4", cache_bytes=1000)
    s.at(0, s.ask, "a")
    for identity in ("m:1/0", "n:1/0"):
        s.at(10, s.answer, identity, "1")
    s.clock.run(200)
    s.at(210, s.ask, "a")
    s.at(220, s.answer, "o:1/0", "1")
    s.at(230, s.ask, "a")
    assert s.log[3:] == [(100, "a = 1"), (220, "a = 1"), (230, "a = 1")]


@pytest.mark.parametrize("policy", ["Exp3", "EpsilonGreedy", "UCB1"])
def test_these_ask_one_model_and_learn_which(ensemble, policy):
    s = ensemble(policy, seed=1)
    for round_ in range(300):
        teach(s, 10 * round_, 1.0, {"m": "0", "n": "1", "o": "0"})
    before = asked(s)
    for round_ in range(300, 400):
        s.at(10 * round_, s.ask, f"y{round_}")
        for identity in list(s.sent):
            s.at(10 * round_ + 1, s.answer, identity.decode(), "1")
    late = asked(s) - before
    assert sum(before.values()) == 300
    assert sum(late.values()) == 100
    assert late["n"] >= (50 if policy == "Exp3" else 85)


def test_exp4_learns_from_all_of_them(ensemble):
    s = ensemble("Exp4")
    for round_ in range(150):
        teach(s, 10 * round_, 1.0, {"m": "0", "n": "1", "o": "0"})
    assert asked(s) == {"m": 150, "n": 150, "o": 150}
    weights = json.loads(s.kept["app", 0])["weights"]
    assert weights["n"] / (weights["m"] + weights["o"]) > 1
    s.at(5000, s.ask, "a")
    for identity, output in (("m:1/0", "0"), ("n:1/0", "1"), ("o:1/0", "0")):
        s.at(5001, s.answer, identity, output)
    assert s.log[-1] == (5001, "a = 1")


def test_feedback_learns_at_the_deadline_from_who_has_answered(ensemble):
    s = ensemble("Exp4", slo=100)
    s.at(0, s.feedback, "a", 1.0)
    s.at(10, s.answer, "m:1/0", "0")
    s.clock.run(100)
    weights = json.loads(s.kept["app", 0])["weights"]
    assert s.log[3:] == [(100, "feedback on a = 1")]
    assert weights["m"] < weights["n"] == weights["o"]


def test_every_user_has_a_state_of_his_own(ensemble):
    s = ensemble("Exp4")
    for round_ in range(100):
        teach(s, 20 * round_, 1.0, {"m": "0", "n": "1", "o": "0"}, uid=7)
        teach(s, 20 * round_ + 10, 1.0, {"m": "1", "n": "0", "o": "0"}, uid=-8)
    best = {
        uid: max(json.loads(text)["weights"].items(), key=lambda each: each[1])[0]
        for (_, uid), text in s.kept.items()
    }
    assert best == {7: "n", -8: "m"}


def test_clippers_own_policy_learns_nothing_and_asks_nobody(serving):
    s = serving()
    s.at(0, s.feedback, "a", 1.0)
    s.at(1, s.ask, "b")
    assert s.log == [(0, "feedback on a = 1"), (1, "m:1/0 takes b")]
    assert [prediction.query_id for _, prediction in s.replies] == [0]
    assert s.kept == {}


def test_what_was_learnt_stays_when_a_model_is_linked(ensemble):
    s = ensemble("Exp4")
    for round_ in range(100):
        teach(s, 10 * round_, 1.0, {"m": "0", "n": "1", "o": "0"})
    s.version("p:1")
    s.replica("p:1")
    s.app("app", "m", "n", "p", policy="Exp4")
    s.at(2000, s.ask, "a")
    for identity, output in (("m:1/0", "0"), ("n:1/0", "1"), ("p:1/0", "0")):
        s.at(2001, s.answer, identity, output)
    weights = json.loads(s.apps["app"].states[0])["weights"]
    assert set(weights) == {"m", "n", "o"}
    teach(s, 2010, 1.0, {"m": "0", "n": "1", "p": "1"})
    assert set(json.loads(s.kept["app", 0])["weights"]) == {"m", "n", "o", "p"}


@pytest.mark.parametrize("policy", ["Exp3", "Exp4", "EpsilonGreedy", "UCB1"])
@pytest.mark.parametrize(
    "state",
    [
        "nonsense",
        "{}",
        '{"default_output":"0","weights":{"m":0,"n":0,"o":0},"losses":{"m":{"mean":0,"count":-4}}}',
        '{"default_output":"0","weights":{"m":-1,"n":1,"o":0},"losses":{"m":{"mean":1e308,"count":-1}}}',
    ],
)
def test_a_kept_state_that_makes_no_sense_begins_anew(ensemble, policy, state):
    s = ensemble(policy)
    s.apps["app"].remember(0, state)
    s.at(0, s.ask, "a")
    for identity in list(s.sent):
        s.at(10, s.answer, identity.decode(), "1")
    teach(s, 20, 1.0, {"m": "1", "n": "1", "o": "1"})
    assert s.log[-1] == (20, "feedback on x20 = 1")
    assert ("a = 1") in {text for _, text in s.log}
    assert s.core.in_flight == 0


def test_states_of_no_more_users_than_so_many_are_at_hand(ensemble, monkeypatch):
    monkeypatch.setattr(endpoints, "MOST_USERS", 3)
    s = ensemble("Exp4")
    app: Endpoint = s.apps["app"]
    for uid in (0, 1, 2, 0, 3):
        app.remember(uid, app.initial_state())
    assert list(app.states) == [2, 0, 3]


def test_a_query_goes_on_without_a_model_that_is_deleted(ensemble):
    s = ensemble("Exp4")
    s.at(0, s.ask, "a")
    s.at(10, s.answer, "m:1/0", "1")
    s.at(20, s.delete, "n:1")
    s.at(30, s.delete, "o:1")
    assert s.log[3:] == [(30, "a = 1")]


def test_outputs_that_are_no_text_or_no_number(ensemble):
    s = ensemble("Exp4")
    s.at(0, s.ask, "a")
    for identity, output in (("m:1/0", "cat"), ("n:1/0", "nan"), ("o:1/0", "0.2")):
        s.at(10, s.answer, identity, output)
    s.at(20, s.ask, "b")
    for identity in ("m:1/0", "n:1/0", "o:1/0"):
        s.at(30, s.answer, identity, "cat")
    assert [text for _, text in s.log if "=" in text] == ["a = 0", "b = none, no reason"]
