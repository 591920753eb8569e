"""Profiler: measures how long each stage takes at each batch size, and writes profile rows."""
