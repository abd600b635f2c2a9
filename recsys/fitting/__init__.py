"""The fit of all models of one shop."""
