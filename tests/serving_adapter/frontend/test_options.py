"""What applications and models may ask for beside what Clipper knows, over real sockets."""

import threading
import time

import pytest

from serving_adapter.frontend.configuration import Defaults


def echo(inputs):
    return [str(each[0]) for each in inputs]


def test_a_batch_waits_as_long_as_its_model_says(serve):
    server = serve(defaults=Defaults(wait_ns=60_000_000_000))
    server.application()
    sizes = []
    for name, wait in (("m", 0), ("n", 300_000)):
        server.model(name, batch_size=2, batch_wait_micros=wait)
    server.link()
    server.application("waiting")
    server.link("waiting", "n")
    for name in "mn":
        server.container(lambda inputs: sizes.append(len(inputs)) or echo(inputs), name=name)
    assert server.predict("app", input=[1.0]).json()["output"] == 1.0
    start = time.monotonic()
    assert server.predict("waiting", input=[1.0]).json()["output"] == 1.0
    assert 0.3 <= time.monotonic() - start < 5
    assert len(server.predict("waiting", input_batch=[[2.0], [3.0]]).json()["batch_predictions"]) == 2
    assert sizes == [1, 1, 2]


def test_queues_are_by_deadline_where_an_application_asks_for_it(serve):
    server = serve()
    server.application("slow", slo_micros=30_000_000)
    server.application("urgent", slo_micros=10_000_000, queue_order="deadline")
    server.model(batch_size=1)
    server.link("slow")
    release, order = threading.Event(), []
    server.container(lambda inputs: order.append(int(inputs[0][0])) or (release.wait(5) and echo(inputs)))

    def ask(app, value):
        wire = server.wire()
        wire.post(f"/{app}/predict", b'{"input": [%d.0]}' % value)
        return wire

    def waiting(count):
        shown = server.query.get("/metrics", headers={"accept": "text/plain"}).text
        return f'queue_length{{model="m",version="1"}} {count}.0' in shown

    wires = [ask("slow", 0)]
    server.until(lambda: order == [0])
    for count in (1, 2):
        wires.append(ask("slow", count))
        server.until(lambda count=count: waiting(count))
    server.link("urgent")  # while they wait
    wires.append(ask("urgent", 3))
    server.until(lambda: waiting(3))
    release.set()
    assert [wire.reply()[0] for wire in wires] == [200] * 4
    assert order == [0, 3, 1, 2]


@pytest.mark.parametrize(
    ("path", "change", "text"),
    [
        ("add_app", {"queue_order": "size"}, "no queue order 'size'; there are arrival, deadline"),
        ("add_model", {"batching": "magic"}, "no batching 'magic'; there are explore, aimd"),
        (
            "add_model",
            {"batch_wait_micros": -2},
            "batch_wait_micros is -2; expected at least 0, or -1 for the server's",
        ),
    ],
)
def test_options_that_are_refused(server, path, change, text):
    app = {"name": "a", "input_type": "d", "default_output": "0", "latency_slo_micros": 1}
    model = {"model_name": "m", "model_version": "1", "labels": [], "input_type": "d", "container_name": "x"}
    document = app if path == "add_app" else {**model, "model_data_path": "x", "batch_size": 1}
    reply = server.ask(path, **document, **change)
    assert (reply.status_code, reply.text) == (400, text)
    assert server.ask(path, **document).status_code == 200


def test_light_load_does_not_wait_while_the_batch_size_is_found_out(serve):
    server = serve()
    server.application(slo_micros=2_000_000)
    server.model(batch_size=-1)
    server.link()
    sizes = []
    server.container(lambda inputs: sizes.append(len(inputs)) or time.sleep(0.001 * len(inputs)) or echo(inputs))
    start = time.monotonic()
    assert all(server.predict("app", input=[float(i)]).json()["output"] == i for i in range(100))
    assert time.monotonic() - start < 5  # filled up with copies, batches would take as long as the SLO allows
    assert set(sizes) == {1}
