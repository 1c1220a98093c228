"""Pruning: whole channels with repair, single weights, and weights shared by clustering."""

from .repair import Repair
from .structured import LayerPruning, Pruned, Structured, prune_channels
from .weights import (
    LayerWeights,
    Reweighted,
    Stored,
    Unstructured,
    cluster_weights,
    prune_weights,
    stored_int8,
)

__all__ = [
    "LayerPruning",
    "LayerWeights",
    "Pruned",
    "Repair",
    "Reweighted",
    "Stored",
    "Structured",
    "Unstructured",
    "cluster_weights",
    "prune_channels",
    "prune_weights",
    "stored_int8",
]
