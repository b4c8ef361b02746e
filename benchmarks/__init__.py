"""Benchmarks: ``python -m benchmarks`` compares with other tools; single files look closer at one thing."""
