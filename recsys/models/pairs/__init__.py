"""Which items are bought together, and in which order."""
