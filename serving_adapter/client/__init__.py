"""Administering a serving core from Python: what Clipper's own client offered, on any target."""

from serving_adapter.client.admin import AdminClient
from serving_adapter.client.connection import ClipperConnection

__all__ = ["AdminClient", "ClipperConnection"]
