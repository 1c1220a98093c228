"""Peripherals, one module a kind: the core's own, and those that several chips have alike. What
only one chip has stands with its description (`virtual/soc`)."""
