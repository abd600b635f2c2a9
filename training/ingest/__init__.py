"""A shop's files to checked tables."""
