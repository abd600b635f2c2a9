"""Nearest vectors and batch top-k."""
