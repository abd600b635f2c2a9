"""What a merchandiser says of lists: filters, boosts, pins, promotions, diversity and rotation, read from a file."""
