"""Redis as Clipper's own processes see it: key by key, and event by event."""

from __future__ import annotations

import pytest
import redis


@pytest.fixture
def url(redis_port):
    return f"redis://127.0.0.1:{redis_port}"


@pytest.fixture
def raw(redis_port):
    """Return what opens a raw client of one database."""
    clients = []

    def client(database):
        clients.append(redis.Redis(port=redis_port, db=database, decode_responses=True))
        return clients[-1]

    yield client
    for each in clients:
        each.close()


@pytest.fixture
def everything(raw):
    """Return what reads all of Redis: by database and key, the type and the value."""
    readers = {"hash": "hgetall", "string": "get", "set": "smembers"}

    def read():
        found = {}
        for database in range(16):
            client = raw(database)
            for key in client.keys("*"):
                kind = client.type(key)
                found[database, key] = kind, getattr(client, readers[kind])(key)
        return found

    return read


@pytest.fixture
def events(raw):
    """Return what subscribes, and then tells the events (database, key, event) since it was last called."""
    client = raw(0)
    client.config_set("notify-keyspace-events", "AKE")
    subscriber = client.pubsub()
    subscriber.psubscribe("__keyspace@*__:*")
    assert subscriber.get_message(timeout=5)["type"] == "psubscribe"

    def since():
        raw(0).set("until here", "")
        log = []
        while True:
            message = subscriber.get_message(timeout=5)
            database, key = message["channel"].removeprefix("__keyspace@").split("__:", 1)
            if key == "until here":
                return log
            log.append((int(database), key, message["data"]))

    yield since
    subscriber.close()
