"""HTTP itself, byte by byte: what is unusual is answered, what is too much is refused, and the server goes on."""

import json
import ssl
import subprocess
import threading
import time

import httpx
import pytest

from inferline.errors import InputError
from serving_adapter.frontend.http import Limits
from serving_adapter.frontend.listening import Tls

ONE = b'{"input": [1.0]}'


@pytest.fixture
def limited(serve):
    """Return what starts a server with these limits and application `app`, and nobody to answer for it."""

    def start(**limits):
        server = serve(limits=Limits(**limits))
        server.application(default="0")
        return server

    return start


@pytest.fixture(scope="module")
def server(serve_module):
    """Return a server that all tests here share: each leaves it as it was, but for the numbers of the queries."""
    server = serve_module()
    server.application(default="0")
    for name in ("slow", "odd"):
        server.application(name)
        server.model(name)
        server.link(name, name)
    return server


def alive(server):
    """The server answers, on a new connection."""
    wire = server.wire()
    wire.post("/app/predict", ONE)
    status, _, body = wire.reply()
    return status == 200 and json.loads(body)["output"] == 0


def test_one_connection_serves_many_requests_in_order(server):
    number = server.predict("app", input=[1.0]).json()["query_id"] + 1
    wire = server.wire()
    for i in range(3):
        wire.post("/app/predict", ONE)
        status, headers, body = wire.reply()
        assert (status, headers["content-type"]) == (200, "application/json")
        assert json.loads(body)["query_id"] - i == number
        assert "connection" not in headers


def test_pipelined_requests_are_answered_in_order(server):
    release = threading.Event()
    server.container(lambda inputs: release.wait(5) and [str(each[0]) for each in inputs], name="slow")
    wire = server.wire()
    for i in range(5):  # the first, which waits, before those that need not
        wire.post("/slow/predict", b'{"input": [%d.0]}' % i)
        wire.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
    release.set()
    bodies = [wire.reply()[2] for _ in range(10)]
    assert [json.loads(body)["output"] for body in bodies[::2]] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert set(bodies[1::2]) == {b'{"status":"alive"}'}


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
@pytest.mark.parametrize("path", ["/app/predict", "/metrics", "/nothing"])
def test_other_methods_are_404(server, method, path):
    wire = server.wire()
    wire.send(f"{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    status, headers, _ = wire.reply(body=method != "HEAD")
    assert (status, headers["content-type"]) == (404, "application/json")
    wire.post("/app/predict", ONE)
    assert wire.reply()[0] == 200


def test_a_chunked_body(server):
    wire = server.wire()
    wire.send(b"POST /app/predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
    for part in (b'{"inp', b'ut": [1', b".0]}"):
        wire.send(b"%x\r\n%b\r\n" % (len(part), part))
    wire.send(b"0\r\n\r\n")
    assert wire.reply()[0] == 200
    assert alive(server)


def test_expect_100_continue(server):
    wire = server.wire()
    wire.send(b"POST /app/predict HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 16\r\n\r\n")
    assert wire.reply()[0] == 100
    wire.send(ONE)
    assert wire.reply()[0] == 200


def test_a_body_that_would_be_too_large_is_refused_before_it_is_sent(limited):
    server = limited(body_bytes=1000)
    wire = server.wire()
    wire.send(b"POST /app/predict HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1001\r\n\r\n")
    status, headers, body = wire.reply()
    assert (status, headers["connection"]) == (413, "close")
    assert body == b"The request's body is larger than 1000 bytes."
    wire.close()
    wire = server.wire()
    wire.post("/app/predict", ONE.ljust(1000))
    assert wire.reply()[0] == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_too_much_sees_why(limited, chunked):
    server = limited(body_bytes=100_000)
    content = iter([b"x" * 10_000] * 300) if chunked else b"x" * 3_000_000
    with httpx.Client() as client:  # it sends all of it before it reads
        reply = client.post(f"http://127.0.0.1:{server.server.query_port}/app/predict", content=content)
    assert reply.status_code == 413
    assert alive(server)


def test_a_slow_body_is_408(limited):
    server = limited(body_s=0.2)
    wire = server.wire()
    wire.send(b"POST /app/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 16\r\n\r\n{")
    start = time.monotonic()
    status, headers, _ = wire.reply()
    assert (status, headers["connection"]) == (408, "close")
    assert time.monotonic() - start >= 0.19
    assert alive(server)


def test_a_slow_body_that_nobody_waits_for_ends_the_connection_too(limited):
    server = limited(body_s=0.1)
    wire = server.wire()
    wire.send(b"POST /nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 16\r\n\r\n{")
    assert wire.reply()[0] == 404
    assert wire.is_closed(5)


@pytest.mark.parametrize("begin", [b"", b"\r\n", b"POST /app/predict HTTP/1.1\r\nhost: x\r\nx: "])
def test_a_head_that_does_not_come_to_its_end_closes_the_connection(limited, begin):
    server = limited(head_s=0.3)
    wire = server.wire()
    wire.send(begin)
    start = time.monotonic()
    for _ in range(20):  # byte by byte, as a slowloris does
        try:
            wire.send(b"x" if begin.startswith(b"POST") else b"")
        except ConnectionError:
            break
        if wire.is_closed(0.05):
            break
    assert 0.2 < time.monotonic() - start < 3
    assert alive(server)


def test_the_second_head_on_a_connection_has_its_time_too(limited):
    server = limited(head_s=0.3)
    wire = server.wire()
    wire.post("/app/predict", ONE)
    assert wire.reply()[0] == 200
    assert not wire.is_closed(0.4)  # idle, which is another thing
    wire.send(b"POST /app")
    assert wire.is_closed(5)


@pytest.mark.parametrize("between", [b"", b"\r\n"])
def test_an_idle_connection_is_closed(limited, between):
    server = limited(idle_s=0.2)
    wire = server.wire()
    wire.post("/app/predict", ONE)
    assert wire.reply()[0] == 200
    wire.send(between)
    assert wire.is_closed(5)


@pytest.mark.parametrize(
    "head",
    [
        b"POST /app/predict HTTP/1.1\r\nx: " + b"x" * 20_000 + b"\r\n\r\n",
        b"POST /app/predict HTTP/1.1\r\nx: " + b"x" * 20_000,
        b"POST /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /app/predict HTTP/1.1\r\n" + b"x: x\r\n" * 5000 + b"\r\n",
    ],
)
def test_a_head_that_is_too_large_is_431(limited, head):
    server = limited(header_bytes=10_000)
    wire = server.wire()
    wire.send(head)
    status, headers, _ = wire.reply()
    assert (status, headers["connection"]) == (431, "close")
    assert alive(server)


@pytest.mark.parametrize(
    "rest", [b"3\r\nabc\r\n0\r\nx: " + b"x" * 200_000, b"0\r\n" + b"x: x\r\n" * 50_000, b"3;" + b"x" * 200_000]
)
def test_nothing_without_an_end_is_kept_after_the_head_either(limited, rest):
    server = limited(header_bytes=10_000)
    wire = server.wire()
    wire.send(b"POST /app/predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
    end = time.monotonic() + 5
    with pytest.raises(ConnectionError):
        _send_until(wire, rest, end)
    assert alive(server)


def _send_until(wire, data, end):
    while time.monotonic() < end:
        wire.send(data)


def test_a_large_body_is_no_large_head(limited):
    server = limited(header_bytes=10_000, body_bytes=200_000)
    wire = server.wire()
    wire.post("/app/predict", ONE.ljust(150_000))
    assert wire.reply()[0] == 200


def test_more_connections_than_allowed_are_closed_and_those_open_go_on(limited):
    server, wires = limited(connections=3), []

    def all_are_open():
        wire = server.wire()
        if not wire.is_closed(0.05):  # the connection that asked whether the server is up may still be going
            wire.socket.settimeout(10)
            wires.append(wire)
        return len(wires) == 3

    server.until(all_are_open)
    for wire in wires:
        wire.post("/app/predict", ONE)
        assert wire.reply()[0] == 200
    assert server.wire().is_closed(5)
    for wire in wires:
        wire.post("/app/predict", ONE)
        assert wire.reply()[0] == 200
    wires[0].close()
    server.until(lambda: not server.wire().is_closed(0.05))


def test_many_who_come_at_once_do_not_wait_for_a_busy_loop_to_go_round_for_each(limited):
    server = limited()
    stop = threading.Event()

    def busy():
        time.sleep(0.01)  # what a loop does that serves others
        if not stop.is_set():
            server.loop.call_soon(busy)

    server.loop.call_soon_threadsafe(busy)
    start = time.monotonic()
    wires = [server.wire() for _ in range(300)]
    for wire in wires:
        wire.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
    assert {wire.reply()[0] for wire in wires} == {200}
    assert time.monotonic() - start < 2  # a turn for each would take three seconds
    stop.set()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /app/predict\r\n\r\n",
        b"POST /\xff HTTP/1.1\r\n\r\n",
        b"CONNECT host:1 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /app/predict HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /app/predict HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST /app/predict HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /app/predict HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_what_is_no_http_is_400_and_closed(server, garbage):
    wire = server.wire()
    wire.send(garbage)
    status, headers, _ = wire.reply()
    assert (status, headers["connection"]) == (400, "close")
    assert alive(server)


@pytest.mark.parametrize(
    "headers", [b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n", b"upgrade: websocket\r\n"]
)
def test_an_offer_to_upgrade_is_passed_over(server, headers):
    wire = server.wire()
    request = b"".join([b"POST /app/predict HTTP/1.1\r\nhost: x\r\n", headers, b"content-length: 16\r\n\r\n", ONE])
    for cut in (0, len(request) - 5, 40):
        wire.send(request[:cut])
        time.sleep(0.05)  # so that it comes in two pieces
        wire.send(request[cut:])
        assert wire.reply()[0] == 200
    wire.send(request * 3)
    assert [wire.reply()[0] for _ in range(3)] == [200] * 3


def test_http_1_0_and_connection_close(server):
    for line, header in ((b"HTTP/1.0", b""), (b"HTTP/1.1", b"connection: close\r\n")):
        wire = server.wire()
        wire.send(b"POST /app/predict ", line, b"\r\n", header, b"content-length: 16\r\n\r\n", ONE)
        assert wire.reply()[0] == 200
        assert wire.is_closed(5)


def test_paths_are_percent_decoded_and_queries_left_out(server):
    server.application("grüß gott/ja", default="0")
    assert server.query.post("/gr%C3%BC%C3%9F%20gott/ja/predict?x=1", content=ONE).status_code == 200
    assert server.query.post("/gr%FC/predict", content=ONE).status_code == 404


def test_a_batch_that_is_too_large_is_413(limited):
    for limits in ({"batch": 3}, {"batch": 100, "queued": 3}):
        server = limited(**limits)
        assert server.predict("app", input_batch=[[1.0]] * 3).status_code == 200
        reply = server.predict("app", input_batch=[[1.0]] * 4)
        assert (reply.status_code, reply.text) == (413, "A request has at most 3 inputs.")


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        (b"[" * 100_000, 400, "JSON parse error"),
        (b'{"input": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400, "JSON parse error"),
        (b'{"x": ' + b"[" * 300 + b"]" * 300 + b', "input": [1.0]}', 200, ""),
        (b'{"input": [' + b"[" * 300, 400, "Terminate parsing due to Handler error."),
        (b'{"input": "\xff"}', 400, "Invalid encoding in string. (offset 11)"),
        (b"\xff\xfe", 400, "Invalid value. (offset 0)"),
        (b'\xef\xbb\xbf{"input": [1.0]}', 400, "Invalid value. (offset 0)"),
        (b'{"input": [1e999]}', 400, "Number too big to be stored in double. (offset 11)"),
        (b'{"input": [' + b"9" * 5000 + b"]}", 400, "JSON parse error"),
        (b'{"input": [99999999999999999999]}', 400, "of type Number is not of type double"),
        (b'{"input": [1e-999]}', 200, ""),
        (b'{"input": [2], "input": [1.0]}', 200, ""),  # of a key that is there twice, the last counts
        (b'{"input": [1.0], "uid": ' + b"9" * 30 + b"}", 200, ""),
        (b'{"input": [1.0], "version": null}', 200, ""),
        (b'{"input": []}', 200, ""),
        (b'{"input": "\\ud800"}', 400, "JSON parse error"),
        (b'{"input": [1.0]}\x00', 400, "The document root must not be followed by other values."),
    ],
)
def test_odd_json(server, body, status, part):
    reply = server.query.post("/app/predict", content=body)
    assert reply.status_code == status
    assert part in reply.text
    if status == 400:
        assert reply.json()["error"] == "Json error"


def test_a_container_may_say_anything(server):
    said = iter(["\u0000", "[" * 3000, "99999999999999999999", '"unended', " 7 "])
    server.container(lambda inputs: [next(said)] * len(inputs), name="odd")
    outputs = [server.predict("odd", input=[float(i)]).json()["output"] for i in range(5)]
    assert outputs == ["\u0000", "[" * 3000, 99999999999999999999, '"unended', 7]


def certificate(folder, name):
    """Make a key and a certificate of its own for 127.0.0.1."""
    key, chain = folder / f"{name}.key", folder / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    subprocess.run([*command, *subject, "-keyout", key, "-out", chain], check=True, capture_output=True)
    return chain, key


def test_tls(serve, tmp_path):
    chain, key = certificate(tmp_path, "server")
    server = serve(tls=Tls(certificate=chain, key=key), limits=Limits(body_bytes=100_000, head_s=0.5))
    server.application(default="0")
    context = ssl.create_default_context(cafile=chain)
    url = f"https://127.0.0.1:{server.server.query_port}"
    with httpx.Client(base_url=url, verify=context) as client:
        for _ in range(3):
            assert client.post("/app/predict", content=ONE).json()["output"] == 0
        assert client.post("/app/predict", content=b"x" * 1_000_000).status_code == 413
    silent, plain = server.wire(), server.wire()
    plain.post("/app/predict", ONE)
    assert plain.is_closed(5)
    assert silent.is_closed(5)  # a handshake has to come to its end as well


def test_tls_files_that_do_not_fit(serve, tmp_path):
    chain, _ = certificate(tmp_path, "one")
    _, key = certificate(tmp_path, "other")
    with pytest.raises(InputError, match="TLS certificate or key cannot be used"):
        serve(tls=Tls(certificate=chain, key=key))
