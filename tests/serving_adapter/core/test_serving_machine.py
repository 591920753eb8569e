"""The serving core whatever happens: every query is answered once, by its deadline, with what belongs to it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving_adapter.core.surroundings import Serving

APPS = {"app": ("m",), "hasty": ("m",), "pair": ("m", "n")}
SLO = {"app": 100, "hasty": 20, "pair": 60}
VERSIONS = ("m:1", "m:2", "n:1")

text = st.sampled_from(["", *"abcdef"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from(sorted(APPS)), text, st.sampled_from([None, None, "1", "2"])),
        st.tuples(st.just("feedback"), st.just("pair"), text),
        st.tuples(st.just("answer"), st.integers(0, 5)),
        st.tuples(st.just("answer"), st.integers(0, 5)),
        st.tuples(st.just("answer short"), st.integers(0, 5)),
        st.tuples(st.just("die"), st.integers(0, 8)),
        st.tuples(st.just("replica"), st.sampled_from(VERSIONS)),
        st.tuples(st.just("delete"), st.sampled_from(VERSIONS)),
        st.tuples(st.just("version"), st.sampled_from(VERSIONS), st.booleans()),
        st.tuples(st.just("wait"), st.integers(0, 40)),
    ),
    max_size=60,
)
specs = st.fixed_dictionaries(
    {
        "batch": st.sampled_from([1, 2, 3, -1]),
        "order": st.sampled_from(["arrival", "deadline"]),
        "wait_ns": st.sampled_from([0, 0, 15_000]),
        "most_queued": st.sampled_from([None, 1, 3]),
    }
)


class Machine(Serving):
    def __init__(self, cache_bytes):
        super().__init__(cache_bytes)
        self.open = {}
        self.alive = {}
        self.numbers = 0

    def begin(self, spec):
        for name in VERSIONS:
            self.version(name, current=name != "m:2", **spec)
            self.add(name)
        for name, models in APPS.items():
            self.app(
                name, *models, slo=SLO[name], policy="Exp4" if len(models) > 1 else "DefaultOutputSelectionPolicy"
            )

    def add(self, name):
        identity = f"{name}/{self.numbers}".encode()
        if self.models.add_replica(identity, tuple(name.split(":")), self.numbers):
            self.alive[identity] = name
        self.numbers += 1

    def put(self, app, content, version=None, label=None):
        number = len(self.open)
        self.open[number] = 0
        asked_at = self.clock.now

        def take(prediction):
            self.open[number] += 1
            output = prediction.output.decode()
            assert self.clock.now <= asked_at + SLO[app]
            if label is not None:
                assert output == "1"
            elif prediction.default:
                assert output == "none"
            elif app == "pair":
                assert output in {"0", "1"}
            else:
                name, said_by, said = output.split(":")
                assert (name, said) == ("m", content)
                assert said_by == version or version is None

        if label is not None:
            self.core.feedback(self.apps[app], content.encode(), label, take)
        elif version is None or ("m", version) in self.specs:
            self.core.predict(self.apps[app], content.encode(), take, version=None if app == "pair" else version)
        else:
            del self.open[number]

    def busy(self, place):
        return list(self.sent)[place % len(self.sent)] if self.sent else None

    def reply(self, place, short=False):
        identity = self.busy(place)
        if identity is None or identity not in self.alive:
            return
        message_id, inputs = self.sent.pop(identity)
        outputs = [f"{self.alive[identity]}:{content}".encode() for content in inputs]
        self.models.answered(identity, message_id, outputs[short:])

    def forget(self, identity):
        self.alive.pop(identity, None)

    def gone(self, place):
        if self.alive:
            identity = list(self.alive)[place % len(self.alive)]
            del self.alive[identity]
            self.die(identity.decode())

    def step(self, step):
        match step:
            case ("ask", app, content, version):
                self.put(app, content, version)
            case ("feedback", app, content):
                self.put(app, content, label=1.0)
            case ("answer", place):
                self.reply(place)
            case ("answer short", place):
                self.reply(place, short=True)
            case ("die", place):
                self.gone(place)
            case ("replica", name):
                self.add(name)
            case ("delete", name) if tuple(name.split(":")) in self.specs:
                for identity in self.delete(name):
                    del self.alive[identity.encode()]
            case ("version", name, current):
                spec = next(iter(self.specs.values()), None)
                self.version(
                    name, current=current, order="deadline" if spec and spec.order == "arrival" else "arrival"
                )
            case ("wait", time):
                self.clock.run(self.clock.now + time)
        self.clock.run(self.clock.now)


@settings(max_examples=300, deadline=None)
@given(steps=steps, spec=specs, cache_bytes=st.sampled_from([0, 30, 10_000]))
def test_every_query_is_answered_once_in_time_and_rightly(steps, spec, cache_bytes):
    machine = Machine(cache_bytes)
    machine.begin(spec)
    for step in steps:
        machine.step(step)
    machine.clock.run(machine.clock.now + 1000)
    assert set(machine.open.values()) <= {1}
    assert machine.core.in_flight == 0
    assert all(name == "_dispatch" for _, name in machine.clock.set)
