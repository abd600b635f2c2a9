"""Many shops in one process, each with its own bundles, live log, placements and keys."""
