"""A shop in arrays: events, catalog, offers, and changes of their rows."""
