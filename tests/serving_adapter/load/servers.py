"""Servers to send load to, each in a process of its own; run as a script, it writes its port to standard output.

``python servers.py uvicorn`` serves an echo under uvicorn; ``python servers.py odd`` behaves as the path of each
request says, by the methods of `Odd`. Both answer as Clipper does, with the input as the output.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass

import uvicorn

BACKLOG = (
    1024  # so many connections may be waiting while a server pauses; one more, and TCP tries again a second later
)


def reply(body, default=False):
    return json.dumps({"query_id": 0, "output": json.loads(body)["input"], "default": default}).encode()


def framed(answer, status="200 OK", extra=b""):
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status.encode(), extra, len(answer), answer)


async def echo(scope, receive, send):
    """Answer with the input, as an ASGI application."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    answer = reply(body)
    length = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": answer})


@dataclass
class Query:
    """One request: its connection, its body, and how many requests were answered there before."""

    writer: asyncio.StreamWriter
    body: bytes
    served: int


class Odd:
    """Each path is a method: it writes to a connection, and returns False to have it closed."""

    def __init__(self):
        self._seen = Counter()

    async def serve(self, reader, writer):
        served = 0
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                length = next(
                    int(line.partition(":")[2]) for line in head if line.lower().startswith("content-length")
                )
                path, _, rest = head[0].split()[1].strip("/").partition("/")
                self._seen[path] += 1
                body = await reader.readexactly(length)
                if await getattr(self, path)(Query(writer, rest.encode() or body, served)) is False:
                    break
                await writer.drain()
                served += 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side has ended it
        finally:
            writer.close()

    async def seen(self, query):
        query.writer.write(framed(str(self._seen[query.body.decode()]).encode()))

    async def echo(self, query):
        query.writer.write(framed(reply(query.body)))

    async def sleep(self, query):
        await asyncio.sleep(0.1)
        query.writer.write(framed(reply(query.body)))

    async def pause(self, query):
        """Everything stands still for a second, at the 20th query."""
        if self._seen["pause"] == 20:
            time.sleep(1)
        query.writer.write(framed(reply(query.body)))

    async def never(self, _):
        pass

    async def default(self, query):
        query.writer.write(framed(reply(query.body, default=True)))

    async def busy(self, query):
        query.writer.write(framed(b'{"error": "busy", "default": true}', status="503 Busy"))

    async def garbage(self, query):
        query.writer.write(b"what?")

    async def twice(self, query):
        query.writer.write(framed(reply(query.body)) * 2)

    async def pieces(self, query):
        """An interim reply, then the reply in chunks, one after another."""
        query.writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (reply(query.body)[:5], reply(query.body)[5:], b""):
            query.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await query.writer.drain()
            await asyncio.sleep(0)

    async def close_said(self, query):
        query.writer.write(framed(reply(query.body), extra=b"Connection: close\r\n"))
        return False

    async def close_unsaid(self, query):
        query.writer.write(framed(reply(query.body)))
        return False

    async def close_stale(self, query):
        """Answer one query of each connection; the next one meets its end."""
        if query.served:
            return False
        query.writer.write(framed(reply(query.body)))
        return True

    async def close_first(self, _):
        return False

    async def cut(self, query):
        query.writer.write(framed(reply(query.body))[:-3])
        return False


def main(kind):
    listening = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    if kind == "uvicorn":
        uvicorn.Server(uvicorn.Config(echo, log_level="error", lifespan="off", backlog=BACKLOG)).run([listening])
    else:
        asyncio.run(serve_odd(listening))


async def serve_odd(listening):
    server = await asyncio.start_server(Odd().serve, sock=listening, backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
