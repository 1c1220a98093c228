"""The typed graph."""

from .model import DType, Graph, Operator, Quantization, Tensor

__all__ = ["DType", "Graph", "Operator", "Quantization", "Tensor"]
