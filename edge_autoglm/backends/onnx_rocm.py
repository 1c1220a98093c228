"""ONNX Runtime on an AMD GPU: MIGraphX, or the ROCm provider of releases that have it still."""

from __future__ import annotations

from .onnx_session import OnnxRuntime


class OnnxRocm(OnnxRuntime):
    """ONNX Runtime on an AMD GPU, through MIGraphX, or ROCm in older releases."""

    name = "onnx-rocm"
    title = "ONNX Runtime on ROCm"
    providers = ("MIGraphXExecutionProvider", "ROCMExecutionProvider")
    install = "pip install onnxruntime-migraphx"
