"""Ten thousand bodies on each kind of path, and ten thousand messages on the RPC: none is too odd to be answered."""

import json
import struct
import threading
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from serving_adapter.frontend.admin import PATHS
from tests.serving_adapter.frontend.raw_container import HEARTBEAT, U32, Raw, new_container, response

AT_A_TIME = 20
MANY = settings(
    max_examples=10_000 // AT_A_TIME,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # what fails is found again by its number; shrinking would begin 10,000 times anew
    suppress_health_check=list(HealthCheck),
)

NAMES = ["a", "b", "m", "n", "o", "1", "2", "", "a:b", "\u0000", "ü"]
WORDS = [*NAMES, "doubles", "strings", "AAA=", "AA==", "Exp3", "Exp4", "UCB1", "deadline", "aimd"]
KEYS = [
    "input",
    "input_batch",
    "version",
    "uid",
    "label",
    "name",
    "app_name",
    "model_name",
    "model_version",
    "labels",
]
KEYS += ["input_type", "batch_size", "verbose", "default_output", "latency_slo_micros", "model_names", "replica_id"]
KEYS += ["container_name", "model_data_path", "policy", "queue_order"]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5)
words = st.sampled_from(WORDS)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner))
inputs = st.lists(st.floats() | st.integers(-5, 5), max_size=5) | words
names = st.sampled_from(NAMES)
right = {
    "input": inputs,
    "input_batch": st.lists(inputs, max_size=3),
    "uid": st.integers(-(2**64), 2**64),
    "label": st.floats(),
    "labels": st.lists(names, max_size=2),
    "model_names": st.lists(names, max_size=2),
    "input_type": st.sampled_from(["doubles", "s", "ints", "x"]),
    "latency_slo_micros": st.integers(-2, 1000),
    "batch_size": st.integers(-1, 3),
    "replica_id": st.integers(-1, 2),
    "verbose": st.booleans(),
    "policy": st.sampled_from(["Exp3", "Exp4", "UCB1", "EpsilonGreedy", "DefaultOutputSelectionPolicy", "x"]),
    "queue_order": st.sampled_from(["deadline", "arrival"]),
}
objects = st.fixed_dictionaries({key: right.get(key, names) for key in KEYS})
seeds = st.integers(0, 2**32 - 1)

PIECES = [
    b'"',
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b"1e9",
    b"-",
    b".",
    b"\\u00",
    b"\xff",
    b"\x00",
    b"null",
    b"9" * 20,
]


def mutants(document, seed):
    """Return bodies made of a JSON value: some of its keys, one of another kind, bytes lost, doubled or put in."""
    drawn = Random(seed)
    return [mutant(document, drawn) for _ in range(AT_A_TIME)]


def mutant(value, drawn):
    if isinstance(value, dict):
        value = {key: each for key, each in value.items() if drawn.random() < 0.95}
        if value and drawn.random() < 0.3:
            value[drawn.choice(list(value))] = drawn.choice([None, True, 1, 1.5, "x", [], [1.0], {}, [[]]])
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    for _ in range(drawn.choice([0, 0, 0, 1, 5])):
        start = drawn.randint(0, len(body))
        end = min(len(body), start + drawn.randint(0, 8))
        put = drawn.choice(PIECES)
        body = drawn.choice([body[:start] + body[end:], body[:end] + body[start:], body[:start] + put + body[start:]])
    return body


garbage = st.lists(st.binary(max_size=60), min_size=AT_A_TIME, max_size=AT_A_TIME)
bodies = st.one_of(st.builds(mutants, objects, seeds), st.builds(mutants, values, seeds), garbage)


@pytest.fixture(scope="module")
def server(serve_module):
    server = serve_module()
    for input_type in ("integers", "floats", "doubles", "strings", "bytes"):
        server.application(input_type, input_type=input_type, slo_micros=1000)
    server.application("learning", policy="Exp4", slo_micros=1000)
    return server


def answers_rightly(server, name):
    """Serve an application and a model of one's own, whatever has become of the others."""
    server.application(name)
    server.model(name)
    server.link(name, name)
    end = server.container(lambda inputs: [str(each[0]) for each in inputs], name)
    replies = server.predict(name, input_batch=[[float(i)] for i in range(50)]).json()["batch_predictions"]
    end()
    return [each["output"] for each in replies] == list(range(50))


def post_all(wire, path, contents):
    """Send all, then read all replies."""
    for content in contents:
        wire.post(path, content)
    for content in contents:
        status, headers, _ = wire.reply()
        assert status in {200, 400, 404, 413}, (path, content)
        assert headers["content-type"] == "application/json"
        assert "connection" not in headers


def test_ten_thousand_bodies_to_the_query_interface(server):
    wire = server.wire()
    paths = st.sampled_from(["integers", "floats", "doubles", "strings", "bytes", "learning", "nothing"])
    sent = 0

    @MANY
    @given(paths, st.sampled_from(["predict", "predict", "update"]), bodies)
    def fuzz(name, verb, contents):
        nonlocal sent
        post_all(wire, f"/{name}/{verb}", contents)
        sent += len(contents)

    fuzz()
    assert sent >= 10_000
    assert answers_rightly(server, "queried")


def test_ten_thousand_bodies_to_the_administration(server):
    paths = [path.removeprefix("/admin/") for path in PATHS]
    wire = server.wire(server.admin.base_url.port)
    sent = 0

    @MANY
    @given(st.sampled_from(paths), bodies)
    def fuzz(path, contents):
        nonlocal sent
        post_all(wire, f"/admin/{path}", contents)
        sent += len(contents)

    fuzz()
    assert sent >= 10_000
    assert answers_rightly(server, "administered")


small = st.binary(max_size=12)
numbers = st.sampled_from([0, 1, 2, 3, 4, 255, 2**31, 2**32 - 1]).map(U32)
registrations = st.builds(
    new_container,
    st.sampled_from([b"m", b"a:b", b"\xff", b"", b"m\0"]) | small,
    st.sampled_from([b"1", b"2", b""]) | small,
    st.sampled_from([b"3", b"4", b"5", b"-1", b"", b"33"]) | small,
    st.sampled_from([3, 3, 3, 2, None]),
)
answers = st.builds(
    lambda number, outputs: response(number, *outputs), st.integers(2**31, 2**32 - 1), st.lists(small)
)
frames = st.lists(st.one_of(small, numbers, st.just(b""), st.binary(max_size=200)), min_size=1, max_size=7)


unregistered = frames | st.just(HEARTBEAT) | answers
registering = unregistered | registrations


def mangled(messages, seed):
    """Return messages: these, with frames taken out, doubled, cut, replaced or put in."""
    drawn = Random(seed)
    return [broken(list(drawn.choice(messages)), drawn) for _ in range(AT_A_TIME)]


def broken(message, drawn):
    for _ in range(drawn.choice([0, 1, 1, 2])):
        place = drawn.randrange(len(message) + 1)
        frame = message[place] if place < len(message) else b""
        put = U32(drawn.choice([0, 1, 2, 3, 255, 2**32 - 1]))
        message[place : place + 1] = drawn.choice([[], [frame, frame], [frame[1:]], [put], [frame, put]])
    return message or [b""]


def test_ten_thousand_messages_from_strangers(server):
    sent = 0

    @MANY
    @given(st.builds(mangled, st.lists(registering, min_size=1, max_size=4), seeds), st.booleans())
    def fuzz(contents, long):
        nonlocal sent
        # An identity that is still connected would not be heard.
        container = Raw(server.rpc_port, b"%d" % sent + b"\x01" * 200 if long else None)
        for content in contents:
            container.send(content)
        container.send(HEARTBEAT)
        while container.receive()[1:3] != [U32(3), U32(2)]:
            pass
        sent += len(contents)
        container.close()

    fuzz()
    assert sent >= 10_000
    assert answers_rightly(server, "told")
    server.until(lambda: server.containers() == [])


class Asked:
    """A container that is asked all the time, and answers as it is told."""

    def __init__(self, port):
        self.container = Raw(port)
        self.container.register(name=b"fuzzed")
        self.request = None
        self.asked = 0

    def listen(self):
        """Read all that has come, the reply to a heartbeat at least; register when that is wanted."""
        self.container.send(HEARTBEAT)
        replied = False
        while not replied or self.container.socket.poll(0):
            frames = self.container.receive()
            if frames[2] == U32(1):
                inputs = [struct.unpack("<d", each)[0] for each in frames[7:]]
                self.request = struct.unpack("<I", frames[3])[0], [b"%g" % each for each in inputs]
                self.asked += 1
            elif frames[3] == U32(1):
                self.container.send(new_container(b"fuzzed"))
            replied = True

    def answer(self, how):
        if self.request is None:
            return
        message, outputs = self.request
        match how:
            case "twice":
                self.container.send(response(message, *outputs))
            case "short":
                outputs = outputs[1:]
            case "long":
                outputs = [*outputs, b"more"]
            case "wrong":
                message ^= 2**31
        self.container.send(response(message, *outputs))
        if how != "wrong":
            self.request = None


def test_ten_thousand_messages_from_a_container_that_is_being_asked(server):
    """Each query gets one reply, which is the default or its own, whatever else comes."""
    server.application("fuzzed", slo_micros=50_000)
    server.model("fuzzed", batch_size=3)
    server.link("fuzzed", "fuzzed")
    asked = Asked(server.rpc_port)
    server.until(server.containers)
    sent, stop, replies = 0, threading.Event(), []

    def ask():
        wire = server.wire()
        while not stop.is_set():
            number = len(replies)
            wire.post("/fuzzed/predict", b'{"input_batch": [[%d.0], [%d.5]]}' % (number, number))
            status, _, body = wire.reply()
            replies.append((status, [each["output"] for each in json.loads(body)["batch_predictions"]]))

    how = st.sampled_from(["right", "right", "right", "twice", "short", "long", "wrong"])

    @MANY
    @given(st.builds(mangled, st.lists(unregistered, min_size=1, max_size=4), seeds), st.lists(how, max_size=5))
    def fuzz(contents, answers):
        nonlocal sent
        for place, content in enumerate(contents):
            asked.container.send(content)
            if place < len(answers):
                asked.listen()
                asked.answer(answers[place])
        sent += len(contents)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        fuzz()
    finally:
        stop.set()
        asking.join(10)
        asked.container.close()
    assert sent >= 10_000
    assert asked.asked > 20  # how many come to pass in between is up to the machine
    assert {status for status, _ in replies} == {200}
    right = sum(output != -1 for _, outputs in replies for output in outputs)
    assert right > 20
    for number, (_, outputs) in enumerate(replies):
        assert outputs[0] in {number, -1}
        assert outputs[1] in {number + 0.5, -1}
    assert answers_rightly(server, "answered")
