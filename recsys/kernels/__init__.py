"""Compiled loops of the hot path: one per file or few, each with a NumPy form that gives the same values."""
