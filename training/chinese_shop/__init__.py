"""A generated Chinese shop whose effects are known: what is planted, and what is not."""
