"""Models of which items resemble each other by titles, tags and categories."""
