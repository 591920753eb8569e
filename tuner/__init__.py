"""Tuner: decides how many replicas each stage needs as traffic changes."""
