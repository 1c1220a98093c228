"""Post-training quantization: a float graph and samples in, an integer graph out."""

from .calibrate import Calibration, calibrate
from .quantize import Quantized, quantize
from .recipe import Observer, Precision, Recipe, Rule, Scheme

__all__ = [
    "Calibration",
    "Observer",
    "Precision",
    "Quantized",
    "Recipe",
    "Rule",
    "Scheme",
    "calibrate",
    "quantize",
]
