"""Worker processes: their start, their end, and the connections that each of them serves."""
