"""Requests to pipelines and the replies to them: inputs and outputs are JSON texts, which pass through unread."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from serving_adapter.core.pipelines import Output, Reply
from serving_adapter.frontend.request import JSON_ERROR, RequestError
from serving_adapter.rpc.values import json_text

__all__ = ["WALK_SCHEMA", "Walk", "parse_walk", "replies_body", "reply_body"]

WALK_SCHEMA = """
  {
   "input" := any JSON value,
   "input_batch" := [any JSON value],
   "route" := bool (optional)
  }
"""

_encode = msgspec.json.Encoder().encode


class _Body(msgspec.Struct):
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    input_batch: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    route: bool = False


_decode = msgspec.json.Decoder(_Body).decode


class Walk(msgspec.Struct, frozen=True):
    """A request: its inputs, and whether the route of each is wanted."""

    inputs: Sequence[Output]
    route: bool


def parse_walk(body: bytes) -> Walk:
    """Read the body of a predict request to a pipeline.

    Raises
    ------
    RequestError
        When it is no JSON object of `WALK_SCHEMA`, or has none or both of the inputs.
    """
    try:
        asked = _decode(body)
        single, batch = asked.input, asked.input_batch
        inputs = [] if isinstance(batch, msgspec.UnsetType) else [Output(bytes(each)) for each in batch]
        if not isinstance(single, msgspec.UnsetType):
            inputs.append(Output(bytes(single)))
        for given in inputs:
            given.frame.decode()  # the decoder skips over what it does not read
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(JSON_ERROR, f"{error}. Expected JSON schema: {WALK_SCHEMA}") from error
    given_both = single is not msgspec.UNSET and batch is not msgspec.UNSET
    if given_both or not inputs:
        many = "both" if given_both else "no"
        raise RequestError(JSON_ERROR, f"There are {many} inputs. Expected JSON schema: {WALK_SCHEMA}")
    return Walk(inputs, asked.route)


def reply_body(reply: Reply, *, route: bool = False) -> bytes:
    """Return the reply to one input.

    Examples
    --------
    >>> reply_body(Reply(query_id=3, outputs={"rank": Output(b"[1,2]")}))
    b'{"query_id":3,"output":[1,2],"default":false,"answered_by":["rank"]}'
    """
    body = b'{"query_id":%d,"output":%b,"default":%b' % (
        reply.query_id,
        _outputs(reply),
        b"true" if reply.explanation else b"false",
    )
    if reply.explanation:
        body += b',"default_explanation":%b' % _encode(reply.explanation)
    body += b',"answered_by":%b' % _encode(list(reply.outputs))
    if route:
        visits = [
            {"stage": each.stage, "waiting_s": each.waited_ns / 1e9, "service_s": each.service_ns / 1e9}
            for each in reply.visits
        ]
        body += b',"latency_s":%b,"route":%b' % (_encode(reply.latency_ns / 1e9), _encode(visits))
    return body + b"}"


def replies_body(replies: Sequence[Reply], *, route: bool = False) -> bytes:
    """Return the reply to a request: an object for one input, as for applications; a list of them for several."""
    if len(replies) == 1:
        return reply_body(replies[0], route=route)
    return b'{"batch_predictions":[%b]}' % b",".join(reply_body(reply, route=route) for reply in replies)


def _outputs(reply: Reply) -> bytes:
    """Return the output of the one stage that answered; an object by stage when several did; null when none did."""
    texts = [(name, json_text(output.frame)) for name, output in reply.outputs.items()]
    if len(texts) == 1:
        return texts[0][1]
    return b"{%b}" % b",".join(b"%b:%b" % (_encode(name), text) for name, text in texts) if texts else b"null"
