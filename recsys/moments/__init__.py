"""Moment lists: what a moment of the user, the catalog or the calendar gives a reason to show."""
