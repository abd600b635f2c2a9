"""Who buys like whom."""
