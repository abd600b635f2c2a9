"""What every other part shares: errors, the tables of a shop, ids, requests, placements, metrics."""
