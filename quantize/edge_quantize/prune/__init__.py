"""Pruning: whole channels with repair, single weights, and weights shared by clustering."""

from .structured import LayerPruning, Pruned, Structured, prune_channels

__all__ = ["LayerPruning", "Pruned", "Structured", "prune_channels"]
