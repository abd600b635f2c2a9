"""Models of which users buy which items."""
