"""All models of one shop, fitted together."""
