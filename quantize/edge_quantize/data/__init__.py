"""Calibration and evaluation data: what a model is shown while it is made small."""

from .check import range_notes
from .load import load_samples
from .samples import Samples

__all__ = ["Samples", "load_samples", "range_notes"]
