"""A small shop made of the catalog and the widget."""
