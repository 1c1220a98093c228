"""What a board costs, and whether it is right: profile, verify, monitor, and the bundle of a run."""
