"""The sections of `make bench-quantize`."""
