"""Measurements: workloads, benchmarks, results."""
