"""Replicas as containers of a Docker or Podman engine, which is asked through the Docker Engine API.

The engine alone knows what runs: names and labels of containers say what they are for, so that any process can look,
and another one go on. `connection` alone imports the client, when a `DockerTarget` is made or an image is built.
"""

from __future__ import annotations

from serving_adapter.replicas.docker.image import build_image
from serving_adapter.replicas.docker.options import DockerOptions
from serving_adapter.replicas.docker.target import DockerTarget

__all__ = ["DockerOptions", "DockerTarget", "build_image"]
