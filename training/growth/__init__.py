"""Figures of growth: funnels, retention, revenue, and what lists earn."""
