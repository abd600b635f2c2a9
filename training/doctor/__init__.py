"""What is odd in the data, and which lists it can feed."""
