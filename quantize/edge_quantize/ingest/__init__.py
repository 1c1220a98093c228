"""Ways in: models of any usual kind as graphs. `ways` is the door."""
