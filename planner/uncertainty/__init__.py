"""Plans for resampled worlds, and what a plan stands."""
