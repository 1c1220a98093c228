"""The search for a model that fits a board's budget."""
