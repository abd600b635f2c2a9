"""Candidates of one request: the query, the state of its user, the sources."""
