"""Models of time: popularity trends, repeat purchases and the time of day."""
