"""Benchmarks: programs that check first and time second."""
