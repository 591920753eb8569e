"""Numbers of Clipper's databases, and what its own processes write there."""

from __future__ import annotations

STATES, MODELS, CONTAINERS, APPLICATIONS, METADATA, LINKS = 1, 2, 3, 5, 6, 7

# What Clipper's management and query frontends write.
CLIPPER_APPLICATION = {
    "input_type": "floats",
    "policy": "DefaultOutputSelectionPolicy",
    "default_output": "0",
    "latency_slo_micros": "100000",
}
CLIPPER_MODEL = {
    "model_name": "net",
    "model_version": "1.0",
    "load": "0.000000",
    "input_type": "floats",
    "labels": "a,b",
    "container_name": "net:1.0",
    "model_data_path": "DEPRECATED",
    "batch_size": "-1",
    "valid": "",
}
CLIPPER_CONTAINER = {
    "model_id": "net:1.0",
    "model_name": "net",
    "model_version": "1.0",
    "model_replica_id": "2",
    "zmq_connection_id": "5",
    "batch_size": "1",
    "input_type": "floats",
}
