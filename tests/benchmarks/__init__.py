"""Benchmarks: ``python -m tests.benchmarks`` runs them all, each script runs alone too."""
