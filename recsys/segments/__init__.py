"""Segments of users: value, life cycle, habits, and the probability of the next order."""
