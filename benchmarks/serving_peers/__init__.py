"""Systems that serve models, each started, tuned and asked by one file here; ``programs`` is what they run."""
