"""Runs a `.tflite` file in LiteRT, as it is, in a process of its own:

    python litert_worker.py MODEL FOLDER SAMPLES

reads `FOLDER/inputs.npz` ("0_0": sample 0, input 0) and writes `FOLDER/outputs.npz` likewise. A
damaged file can crash the runtime; here it takes nobody with it. Imports nothing of this package.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def main(model: str, folder: str, samples: str) -> None:
    try:
        interpreter = _ready(model, OpResolverType.BUILTIN_REF)
    except (RuntimeError, ValueError) as error:
        if "Didn't find op for builtin opcode" not in str(error):
            raise
        # The reference kernels lack ROUND, CEIL, ELU and a few more.
        interpreter = _ready(model, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    results = {}
    with np.load(Path(folder, "inputs.npz"), allow_pickle=False) as inputs:
        for number in range(int(samples)):
            for i, details in enumerate(interpreter.get_input_details()):
                interpreter.set_tensor(details["index"], inputs[f"{number}_{i}"])
            interpreter.reset_all_variables()
            interpreter.invoke()
            for i, details in enumerate(interpreter.get_output_details()):
                results[f"{number}_{i}"] = interpreter.get_tensor(details["index"])
    np.savez(Path(folder, "outputs.npz"), **results)


def _ready(model: str, kind: OpResolverType) -> Interpreter:
    interpreter = Interpreter(model_path=model, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    return interpreter


if __name__ == "__main__":
    main(*sys.argv[1:])
