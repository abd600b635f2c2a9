"""The algorithms: one file a model, each with its Config, its frozen Model and its `fit_` function."""
