"""Tests; a package of its own, because a dependency of the benchmarks installs one of the same name."""
