"""What LiteRT's GPU backend takes, asked operator by operator."""
