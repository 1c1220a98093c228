"""Models for a phone's GPU: variants with float16 weights, and what float16 arithmetic does."""

from .weights import Float16Result, float16_weights
from .widened import FloatVariant, float_variant

__all__ = ["Float16Result", "FloatVariant", "float16_weights", "float_variant"]
