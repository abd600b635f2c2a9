"""Product exports of shop systems, as rows of the items table."""
