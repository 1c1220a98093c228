"""Ways in: model files as graphs."""
