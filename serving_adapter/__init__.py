"""Serving adapter: runs pipelines and meets the world outside (clients, containers, clusters)."""
