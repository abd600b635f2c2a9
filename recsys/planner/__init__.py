"""Push plans: which messages each shopper gets in a week, when and on which channel."""
