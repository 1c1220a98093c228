"""ONNX Runtime on an Nvidia GPU."""

from __future__ import annotations

from .onnx_session import OnnxRuntime


class OnnxCuda(OnnxRuntime):
    """ONNX Runtime on an Nvidia GPU; never its CPU provider in place of that."""

    name = "onnx-cuda"
    title = "ONNX Runtime on CUDA"
    providers = ("CUDAExecutionProvider",)
    install = "pip install onnxruntime-gpu"
