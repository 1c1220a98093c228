"""Converts an ONNX model and runs it in ONNX Runtime, inside the environment for ONNX:

    python -I onnx_worker.py FOLDER

reads `FOLDER/request.json` and writes `FOLDER/answer.json`, `model.tflite` and `reference.npz`
("x0_1": sample 0, input 1; "y..." outputs). Imports nothing of this package.
"""

from __future__ import annotations

import contextlib
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

_QUANTIZING = {"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"}
_STANDARD = {"", "ai.onnx", "ai.onnx.ml"}


class RefusedError(Exception):
    """The model cannot be taken; each argument is one reason."""


def inputs_of(model: Any) -> list[tuple[str, list[int | None]]]:
    """(name, shape) of each input that is no initializer; None for an open dimension."""
    constants = {t.name for t in model.graph.initializer}
    found = []
    for value in model.graph.input:
        if value.name not in constants:
            dims = value.type.tensor_type.shape.dim
            found.append((value.name, [d.dim_value if d.dim_value > 0 else None for d in dims]))
    return found


def check(model: Any) -> None:
    custom = sorted({n.op_type for n in model.graph.node if n.domain not in _STANDARD})
    if custom:
        raise RefusedError(
            *(f"custom operator '{op}': replace it by standard ones" for op in custom)
        )
    quantizing = [n.op_type for n in model.graph.node if n.op_type in _QUANTIZING]
    if quantizing:
        raise RefusedError(
            f"already quantized: {len(quantizing)} operators such as {quantizing[0]}; start from "
            "the float model"
        )


def fixed(model: Any, shapes: dict[str, list[int]]) -> None:
    """Writes the shapes into the model, so that everything in it follows from them."""
    for value in model.graph.input:
        for dim, size in zip(
            value.type.tensor_type.shape.dim, shapes.get(value.name, []), strict=False
        ):
            dim.dim_value = size


def run(model: Any, shapes: dict[str, list[int]], samples: int) -> dict[str, Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    random = np.random.default_rng(0)
    kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(bool)": np.bool_}
    kinds |= {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
    kept: dict[str, Any] = {}
    for n in range(samples):
        feed = {}
        for i, given in enumerate(session.get_inputs()):
            kind = kinds.get(given.type)
            if kind is None:
                raise RefusedError(
                    f"input '{given.name}' is a {given.type}, which is not supported"
                )
            shape = shapes[given.name]
            if given.type in ("tensor(float)", "tensor(double)"):
                draw: Any = random.standard_normal if n % 2 == 0 else random.random
            else:
                draw = partial(random.integers, 0, 2)
            feed[given.name] = kept[f"x{n}_{i}"] = np.asarray(draw(shape), kind)
        for i, result in enumerate(session.run(None, feed)):
            kept[f"y{n}_{i}"] = result
    return kept


def convert(path: Path, folder: Path) -> Path:
    import onnx2tf
    from onnx2tf import onnx2tf as inner

    # For images it would fetch photographs to check itself with; noise of its own serves as well.
    photographs = np.random.default_rng(1).random((20, 128, 128, 3), dtype=np.float32)
    inner.download_test_image_data = lambda: photographs
    out = folder / "converted"
    onnx2tf.convert(
        input_onnx_file_path=str(path),
        output_folder_path=str(out),
        copy_onnx_input_output_names_to_tflite=True,
        non_verbose=True,
    )
    return next(out.glob("*_float32.tflite"))


def main(folder: Path) -> None:
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    answer: dict[str, Any] = {}
    try:
        import onnx

        try:
            model = onnx.load(request["model"])
            onnx.checker.check_model(model)
        except Exception as error:  # protobuf's, onnx's and the file system's
            words = str(error).strip().splitlines() or [type(error).__name__]
            raise RefusedError(f"not a whole ONNX model: {words[0][:200]}") from error
        check(model)
        if not model.graph.output:
            raise RefusedError("the model has no output")
        answer["inputs"] = inputs_of(model)
        answer["outputs"] = [value.name for value in model.graph.output]
        answer["made_by"] = f"{model.producer_name} {model.producer_version}".strip()
        answer["opset"] = max((o.version for o in model.opset_import if o.domain == ""), default=0)
        shapes = request.get("shapes")
        if shapes is not None:
            fixed(model, shapes)
            path = folder / "fixed.onnx"
            onnx.save(model, str(path))
            np.savez(folder / "reference.npz", **run(model, shapes, request["samples"]))
            try:
                convert(path, folder).replace(folder / "model.tflite")
            except (SystemExit, StopIteration) as error:
                raise RuntimeError("onnx2tf gave up") from error
    except RefusedError as error:
        answer["problems"] = [str(reason) for reason in error.args]
    except Exception as error:  # reported by whoever started this
        words = str(error).strip().splitlines() or [""]
        answer["failed"] = f"{type(error).__name__}: {words[0][:300]}"
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
