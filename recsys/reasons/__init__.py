"""Why an item is in a list: evidence and texts."""
