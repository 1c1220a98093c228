"""ONNX Runtime on this machine's CPU: the reference for `.onnx` models."""

from __future__ import annotations

from .onnx_session import CPU, OnnxRuntime


class OnnxCpu(OnnxRuntime):
    """ONNX Runtime's own CPU kernels: the reference of an `.onnx` file, and its last resort."""

    name = "onnx-cpu"
    title = "ONNX Runtime on the CPU"
    last_resort = True
    providers = (CPU,)
