"""The compiled kernel; Numba is used in this package and nowhere else."""
