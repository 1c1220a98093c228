"""Passes that make a graph smaller and leave what it computes as it is."""

from .pipeline import lossless
from .result import Change, Counts, PassResult

__all__ = ["Change", "Counts", "PassResult", "lossless"]
