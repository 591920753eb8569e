"""YAML and JSON texts, read defensively into plain values with key paths."""
