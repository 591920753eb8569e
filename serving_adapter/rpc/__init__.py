"""Clipper's RPC between the serving core and model containers, version 3: wire format, container runtime, router."""
