"""Offline jobs: demo data, ingest, doctor, training, lists for many users."""
