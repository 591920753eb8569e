"""The administration interface (port 1338) over HTTP."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable

import msgspec

from inferline.errors import OutsideError
from serving_adapter.frontend.admin import PATHS
from serving_adapter.frontend.admin_replies import AdminReply
from serving_adapter.frontend.http import BodyError, Limits, Receive, Reply, Scope, Send, read_body, send_reply
from serving_adapter.frontend.pipeline_admin import OBSERVE_PATH
from serving_adapter.frontend.query_app import NOT_FOUND, UNEXPECTED
from serving_adapter.frontend.request import RequestError

__all__ = ["AdminApp"]

UNAUTHORISED = Reply(401, b"A bearer token is needed.", headers=[(b"www-authenticate", b"Bearer")])

_log = logging.getLogger(__name__)


class AdminApp:
    """An ASGI application.

    Parameters
    ----------
    administer
        Answers a path and a body, after the change is stored and in force.
    limits
        Bounds of requests.
    token
        The bearer token that every request but the ping has to carry; None for none.
    """

    def __init__(
        self, administer: Callable[[str, bytes], Awaitable[AdminReply]], limits: Limits, token: str | None = None
    ) -> None:
        self._administer = administer
        self._limits = limits
        self._expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            reply = await self._reply(scope, receive)
        except BodyError as error:
            reply = error.reply
        except RequestError as error:
            reply = Reply(400, error.cause.encode())
        except OutsideError as error:
            _log.error("event=state_unreachable path=%s reason=%s", scope["path"], error)
            reply = Reply(503, str(error).encode())
        except Exception:
            _log.exception("event=request_failed path=%s", scope["path"])
            reply = UNEXPECTED
        await send_reply(send, reply)

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        path, method = scope["path"].rstrip("/"), scope["method"]
        if method == "GET" and path == "/admin/ping":
            return Reply(200, b"PONG")
        if method != "POST" or (path not in PATHS and path != OBSERVE_PATH):
            return NOT_FOUND
        if not self._is_authorised(scope):
            return UNAUTHORISED
        answered = await self._administer(path, await read_body(scope, receive, self._limits))
        return Reply(200, answered.body.encode() if answered.plain else msgspec.json.encode(answered.body))

    def _is_authorised(self, scope: Scope) -> bool:
        if self._expected is None:
            return True
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return hmac.compare_digest(given, self._expected)
