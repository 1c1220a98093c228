"""Calibration and evaluation data: what a model is shown while it is made small."""

from .samples import Samples

__all__ = ["Samples"]
