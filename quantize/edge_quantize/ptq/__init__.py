"""Post-training quantization: a float graph and samples in, an integer graph out."""

from .recipe import Observer, Precision, Recipe, Rule, Scheme

__all__ = ["Observer", "Precision", "Recipe", "Rule", "Scheme"]
