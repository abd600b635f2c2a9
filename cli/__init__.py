"""The `recsys` command: a thin shell over training and serving; nobody imports it."""
