"""What a board costs, and whether it is right: profile, verify, monitor, bundles."""
