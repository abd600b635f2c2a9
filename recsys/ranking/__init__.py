"""Ranking: one feature function for training and serving, scores, and the fit of the rankers."""
