"""The batching rule: the one place that says how many queries a free replica takes."""

from __future__ import annotations

__all__ = ["batch_to_take"]


def batch_to_take(queue_length: int, max_batch: int) -> int:
    """Return how many queries a free replica takes from the front of the queue.

    A free replica never waits to fill a batch: it takes what is there, up to the maximum batch size (greedy
    batching, as in Clipper and the InferLine estimator).

    Parameters
    ----------
    queue_length
        Queries that wait at this instant, after all deliveries of the instant.
    max_batch
        The stage's maximum batch size.

    Examples
    --------
    >>> batch_to_take(3, 8), batch_to_take(20, 8), batch_to_take(0, 8)
    (3, 8, 0)
    """
    return min(queue_length, max_batch)
