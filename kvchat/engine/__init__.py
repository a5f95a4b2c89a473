"""Continuous batching over one paged pool; knows token ids only."""
