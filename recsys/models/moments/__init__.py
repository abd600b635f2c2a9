"""What moment lists learn from the shop's past."""
