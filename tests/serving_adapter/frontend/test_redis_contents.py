"""What a running server leaves in Redis, key by key, as Clipper's own processes would find it."""

import redis

NUMBERS = {"selection": 1, "models": 2, "containers": 3, "resources": 4, "applications": 5, "metadata": 6, "links": 7}


def contents(port):
    """Return all that Redis holds, by the name of the database, as text."""
    found = {}
    for name, number in NUMBERS.items():
        with redis.Redis(port=port, db=number, decode_responses=True) as client:
            readers = {"hash": client.hgetall, "string": client.get, "set": client.smembers}
            found[name] = {key: readers[client.type(key)](key) for key in client.scan_iter()}
    with redis.Redis(port=port) as client:
        used = {int(name.removeprefix("db")) for name in client.info("keyspace")}
    assert used <= set(NUMBERS.values())
    return found


def test_key_by_key(serve, redis_port):
    server = serve(state=f"redis://127.0.0.1:{redis_port}")
    server.application("digits", input_type="d", default="-1.0", slo_micros=20_000)
    server.model("svm", "1", input_type="double")
    server.ask(
        "add_model",
        model_name="svm",
        model_version="2",
        labels=["prod", "eu"],
        input_type="doubles",
        container_name="registry/svm:2",
        model_data_path="DEPRECATED",
        batch_size=-1,
    )
    server.link("digits", "svm")
    server.container(lambda inputs: ["1"] * len(inputs), "svm", "1")
    server.container(lambda inputs: ["1"] * len(inputs), "svm", "1")
    server.ask("set_model_version", model_name="svm", model_version="1")
    first = {
        "model_name": "svm",
        "model_version": "1",
        "load": "0.000000",
        "input_type": "doubles",
        "labels": "",
        "container_name": "image",
        "model_data_path": "DEPRECATED",
        "batch_size": "8",
        "valid": "",
    }
    replica = {
        "model_id": "svm:1",
        "model_name": "svm",
        "model_version": "1",
        "model_replica_id": "0",
        "zmq_connection_id": "0",
        "batch_size": "1",
        "input_type": "doubles",
    }
    second = {"model_version": "2", "labels": "prod,eu", "container_name": "registry/svm:2", "batch_size": "-1"}
    expected = {
        "selection": {"digits:0:0": '{"y_hat":"-1.0"}'},
        "models": {"svm:1": first, "svm:2": {**first, **second}},
        "containers": {
            "svm,1,0": replica,
            "svm,1,1": {**replica, "model_replica_id": "1", "zmq_connection_id": "1"},
        },
        "resources": {},
        "applications": {
            "digits": {
                "input_type": "doubles",
                "policy": "DefaultOutputSelectionPolicy",
                "default_output": "-1.0",
                "latency_slo_micros": "20000",
            }
        },
        "metadata": {"CURRENT_MODEL_VERSION:svm": "1"},
        "links": {"digits": {"svm"}},
    }
    server.until(lambda: contents(redis_port) == expected)
    with redis.Redis(port=redis_port) as client:
        assert set(client.config_get("notify-keyspace-events")["notify-keyspace-events"]) == set("AKE")


def test_what_is_deleted_leaves_nothing_but_the_current_version(serve, redis_port):
    server = serve(state=f"redis://127.0.0.1:{redis_port}")
    server.application("digits")
    server.model("svm")
    server.link("digits", "svm")
    end = server.container(lambda inputs: ["1"] * len(inputs), "svm")
    server.until(lambda: contents(redis_port)["containers"])
    end()
    server.until(lambda: not contents(redis_port)["containers"])
    server.ask("delete_app", name="digits")
    server.ask("delete_versioned_model", model_name="svm", model_version="1")
    nothing = {name: {} for name in NUMBERS}
    server.until(lambda: contents(redis_port) == {**nothing, "metadata": {"CURRENT_MODEL_VERSION:svm": "1"}})


def test_what_clipper_does_not_know_is_there_only_when_it_is_asked_for(serve, redis_port):
    server = serve(state=f"redis://127.0.0.1:{redis_port}")
    server.application("digits", policy="Exp4", queue_order="deadline")
    server.model("svm", batching="aimd", batch_wait_micros=500)
    server.link("digits", "svm")
    server.container(lambda inputs: ["1"] * len(inputs), "svm")
    body = {"uid": 7, "input": [1.0], "label": 0.5}
    assert server.query.post("/digits/update", json=body).text == "Feedback received? 1"
    server.until(lambda: contents(redis_port)["selection"])
    found = contents(redis_port)
    assert found["selection"] == {"digits:7:0": '{"default_output":"-1.0","weights":{"svm":1.0}}'}
    assert found["applications"]["digits"]["queue_order"] == "deadline"
    assert (found["models"]["svm:1"]["batching"], found["models"]["svm:1"]["batch_wait_micros"]) == ("aimd", "500")


def test_the_end_of_a_server_takes_its_replicas_away(serve_process, redis_port):
    server = serve_process("--state", f"redis://127.0.0.1:{redis_port}")
    server.model("svm")
    server.container(lambda inputs: ["1"] * len(inputs), "svm")
    server.until(lambda: contents(redis_port)["containers"])
    server.process.terminate()
    assert server.process.wait(10) == 0
    assert contents(redis_port)["containers"] == {}
    assert set(contents(redis_port)["models"]) == {"svm:1"}
