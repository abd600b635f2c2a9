"""A recommendation engine that an online shop runs itself."""
