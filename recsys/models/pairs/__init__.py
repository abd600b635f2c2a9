"""Models of which items are bought together, and in which order."""
