"""Measurements, as ratios taken side by side in one run. ``python -m benchmarks`` prints all; see docs/benchmarks.md."""
