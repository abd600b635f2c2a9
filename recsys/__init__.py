"""A recommendation engine that an online shop runs itself."""

from recsys.pipeline.recommender import Recommender

__all__ = ["Recommender"]
