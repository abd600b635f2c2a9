"""Versioned model files on disk."""
