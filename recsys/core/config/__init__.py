"""Settings: their ranges, their strict reader, and their reference table."""
