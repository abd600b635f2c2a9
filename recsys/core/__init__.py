"""Definitions that all other packages share: errors, tables, ids, requests, placements, metrics, files and times."""
