"""The algorithms: one file per model with its config, its frozen model and its `fit_` function."""
