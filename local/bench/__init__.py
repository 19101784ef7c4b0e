"""Benchmarks: each compares its measurements in the same run, as ratios. Run by `make bench`."""
