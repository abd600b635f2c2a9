"""Is the new model better, honestly: questions cut from the shop's own future, and the answers' scores."""
