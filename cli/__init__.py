"""The `recsys` command, a thin shell over training and serving; heavy modules are imported by the commands that run."""
