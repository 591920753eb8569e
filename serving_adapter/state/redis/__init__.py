"""The configuration in Redis, where Clipper's own processes read and write it too.

Either of Clipper's frontends may run on the same Redis. What is written here raises the keyspace notifications that
they wait for:

* a model is deleted by taking its field ``valid`` away (``hdel``: query frontends drop the version) and then its key;
* an application by taking its four fields away in one command. Redis notifies ``hdel``, for which Clipper's query
  frontend waits although Clipper's own deletion never sends it, and then ``del``, because nothing is left.

A deletion that Clipper's management frontend has marked is completed here, which is a query frontend's duty. That
needs its notification: a version marked while nobody listened counts as deleted, but its key stays until it is
registered anew.
"""

from __future__ import annotations

from serving_adapter.state.redis.connection import Server
from serving_adapter.state.redis.store import RedisState

__all__ = ["RedisState", "Server"]
