"""Which items are alike by titles, tags and categories."""
