"""Benchmarks: one file per question; ratios are formed within one run."""
