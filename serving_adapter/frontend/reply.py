"""Replies of the query interface: outputs embedded as JSON when they are JSON."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from serving_adapter.core.endpoints import Prediction
from serving_adapter.rpc.values import json_text

__all__ = ["error_body", "prediction_body", "predictions_body"]

_encode = msgspec.json.Encoder().encode


def prediction_body(prediction: Prediction) -> bytes:
    """Return the reply to one input.

    Examples
    --------
    >>> prediction_body(Prediction(3, b"1.0"))
    b'{"query_id":3,"output":1.0,"default":false}'
    >>> prediction_body(Prediction(4, b"cat", True, "late"))
    b'{"query_id":4,"output":"cat","default":true,"default_explanation":"late"}'
    """
    query_id, output, default, explanation = prediction
    if not default:
        return b'{"query_id":%d,"output":%b,"default":false}' % (query_id, json_text(output))
    if not explanation:
        return b'{"query_id":%d,"output":%b,"default":true}' % (query_id, json_text(output))
    return b'{"query_id":%d,"output":%b,"default":true,"default_explanation":%b}' % (
        query_id,
        json_text(output),
        _encode(explanation),
    )


def predictions_body(predictions: Sequence[Prediction]) -> bytes:
    """Return the reply to a batch: a bare object for exactly one input, as Clipper does."""
    if len(predictions) == 1:
        return prediction_body(predictions[0])
    return b'{"batch_predictions":[%b]}' % b",".join(map(prediction_body, predictions))


def error_body(error: str, cause: str) -> bytes:
    """Return the body of a 400."""
    return _encode({"error": error, "cause": cause})
