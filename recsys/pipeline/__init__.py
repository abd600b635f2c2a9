"""One request from end to end, its pages and its explanation."""
