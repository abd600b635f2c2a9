"""A recommendation engine that an online shop runs itself."""

from recsys.recommender import Recommender

__all__ = ["Recommender"]
