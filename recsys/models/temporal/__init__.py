"""What time changes: trends, repeats, hours."""
