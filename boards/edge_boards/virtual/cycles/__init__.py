"""Modelled cycles, one model a core: never measured, and labelled so wherever they are shown.

Only `steps` is imported here; the models decode with capstone, which only they need.
"""

from .steps import StepCycles

__all__ = ["StepCycles"]
