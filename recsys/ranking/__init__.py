"""The second stage: one feature function, a learned ranker, and the examples that it learns from."""
