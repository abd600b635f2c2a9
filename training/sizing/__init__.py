"""What a shop of a given size needs, by costs that were measured."""
