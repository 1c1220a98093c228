"""Models for a phone's GPU: variants with float16 weights, and what float16 arithmetic does."""

from .weights import Float16Result, float16_weights

__all__ = ["Float16Result", "float16_weights"]
