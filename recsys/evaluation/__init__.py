"""Offline evaluation of the lists: protocols, baselines, metrics with intervals, and attribution of live events."""
