"""Drafts of placements: their files, their history, and what they would change."""
