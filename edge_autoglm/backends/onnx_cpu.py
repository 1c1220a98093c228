"""ONNX Runtime on this machine's CPU: the reference for `.onnx` models."""

from __future__ import annotations

from .onnx_session import CPU, OnnxRuntime


class OnnxCpu(OnnxRuntime):
    name = "onnx-cpu"
    title = "ONNX Runtime on the CPU"
    last_resort = True
    providers = (CPU,)
