"""Models for a phone's GPU: variants with float16 weights, and what float16 arithmetic does."""

from .quantized_variant import Int8Variant, int8_variant
from .report import HalfLayer, HalfOutput, HalfReport, half_json, half_lines, sums_text
from .saturation import margins, saturated
from .simulate import simulate_half
from .weights import Float16Result, float16_weights
from .widened import FloatVariant, float_variant

__all__ = [
    "Float16Result",
    "FloatVariant",
    "HalfLayer",
    "HalfOutput",
    "HalfReport",
    "Int8Variant",
    "float16_weights",
    "float_variant",
    "half_json",
    "half_lines",
    "int8_variant",
    "margins",
    "saturated",
    "simulate_half",
    "sums_text",
]
