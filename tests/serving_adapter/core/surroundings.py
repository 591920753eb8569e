"""A serving core between a clock that is moved by hand, replicas that answer when told, and a log of it all."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from serving_adapter.core.cache import PredictionCache
from serving_adapter.core.endpoints import Endpoint
from serving_adapter.core.models import Models
from serving_adapter.core.serving import LATE, NO_MODELS, ServingCore
from serving_adapter.core.versions import VersionSpec
from serving_adapter.state import Application

US = 1000
REASONS = {LATE: "late", NO_MODELS: "no models", "": "no reason"}


@dataclass
class Clock:
    """Microseconds; what is to happen at one instant happens in the order in which it was asked for."""

    now: int = 0
    events: list = field(default_factory=list)
    serial: int = 0

    def now_ns(self):
        return self.now * US

    def call_at(self, when_ns, callback, *arguments):
        timer = Timer()
        self.serial += 1
        heapq.heappush(self.events, (-(-when_ns // US), self.serial, timer, callback, arguments))
        return timer

    def soon(self, callback, *arguments):
        self.call_at(self.now_ns(), callback, *arguments)

    def run(self, until):
        while self.events and self.events[0][0] <= until:
            when, _, timer, callback, arguments = heapq.heappop(self.events)
            if not timer.cancelled:
                self.now = max(self.now, when)
                callback(*arguments)
        self.now = until

    @property
    def set(self):
        """Calls that are still to come."""
        return [(when, callback.__name__) for when, _, timer, callback, _ in self.events if not timer.cancelled]


@dataclass
class Timer:
    cancelled: bool = False

    def cancel(self):
        self.cancelled = True


class Serving:
    """The core and its surroundings; times are in microseconds, and so are those in the log."""

    def __init__(self, cache_bytes=10_000, seed=0):
        self.clock = Clock()
        self.log = []
        self.replies = []
        self.kept = {}
        self.apps = {}
        self.specs = {}
        self.current = {}
        self.sent = {}
        self.sizes = []
        rng = np.random.default_rng(seed)
        self.models = Models(self.clock, self, self, PredictionCache(cache_bytes), rng)
        self.core = ServingCore(self.models, self.clock, self, rng)

    def note(self, text):
        self.log.append((self.clock.now, text))

    # What the core asks of the world

    def send(self, identity, message_id, _version, inputs):
        self.sent[identity] = (message_id, [content.decode() for content in inputs])
        self.note(f"{identity.decode()} takes {' '.join(self.sent[identity][1])}")
        return True

    def forget(self, identity):
        self.note(f"{identity.decode()} forgotten")

    def predicted(self, application, latency_ns, *, default):
        pass

    def batch_answered(self, _version, size, latency_ns, waited_ns):
        self.sizes.append((size, latency_ns // US, [each // US for each in waited_ns]))

    def dropped(self, version, count, reason):
        self.note(f"{':'.join(version)} drops {count}, {reason}")

    # What is configured

    def app(self, name="app", *models, slo=100, policy="DefaultOutputSelectionPolicy", default="none"):
        application = Application(
            name=name, input_type="doubles", default_output=default, latency_slo_micros=slo, policy=policy
        )
        old = self.apps.get(name)
        states = old.states if old else {}
        self.apps[name] = Endpoint(application, models or ("m",), self.keep, states)

    def keep(self, name, uid, text):
        self.kept[name, uid] = text

    def version(self, name="m:1", batch=1, current=True, **spec):
        key = tuple(name.split(":"))
        self.specs[key] = VersionSpec(batch_size=batch, **spec)
        if current:
            self.current[key[0]] = key[1]
        return self.configure()

    def delete(self, name):
        del self.specs[tuple(name.split(":"))]
        return self.configure()

    def configure(self):
        orphans = self.models.set_versions(self.specs, self.current)
        return [identity.decode() for identity in orphans]

    def replica(self, name="m:1", number=0):
        return self.models.add_replica(f"{name}/{number}".encode(), tuple(name.split(":")), number)

    # What happens

    def at(self, when, what: Callable, *arguments, **named):
        """Let the clock run up to an instant, and do something then."""
        self.clock.run(when)
        result = what(*arguments, **named)
        self.clock.run(when)
        return result

    def ask(self, texts, app="app", version=None, uid=0):
        for text in texts.split() or [""]:
            self.core.predict(self.apps[app], text.encode(), self._taker(text), version=version, uid=uid)

    def feedback(self, text, label, app="app", uid=0):
        taker = self._taker(f"feedback on {text}")
        self.core.feedback(self.apps[app], text.encode(), label, taker, uid=uid)

    def _taker(self, text):
        def take(prediction):
            self.replies.append((text, prediction))
            output = prediction.output.decode()
            self.note(f"{text} = {output}" + (f", {REASONS[prediction.explanation]}" if prediction.default else ""))

        return take

    def answer(self, identity="m:1/0", *outputs):
        """Let a replica answer what it is at: the inputs in capitals, or these outputs."""
        message_id, inputs = self.sent.pop(identity.encode())
        outputs = outputs or [text.upper() for text in inputs]
        self.models.answered(identity.encode(), message_id, [output.encode() for output in outputs])

    def die(self, identity="m:1/0"):
        self.sent.pop(identity.encode(), None)
        self.models.gone(identity.encode(), "died")
