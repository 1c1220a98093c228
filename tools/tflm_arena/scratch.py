"""What CMSIS-NN's functions say of scratch memory, asked on each kind of core under QEMU.

    python tools/tflm_arena/scratch.py CMSIS_NN CMSIS     # writes .../cmsis_nn_scratch.json

CMSIS_NN and CMSIS are checkouts (the Makefile of a TFLM tree has both below its `downloads`).
Needs arm-none-eabi-gcc and qemu-system-arm.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from edge_export.tflm.structs import CMSIS_NN_COMMIT
from edge_quantize.graph.options import Padding
from edge_quantize.graph.shapes import ShapeError, window

GOLDEN = Path(__file__).resolve().parents[2] / "tests/golden/tflm/cmsis_nn_scratch.json"
# Core of the compiler, machine, and where that has its code.
CORES = {
    "none": ("cortex-m3", "mps2-an385"),
    "dsp": ("cortex-m7", "mps2-an500"),
    "mve": ("cortex-m55", "mps3-an547"),
}
FIELDS = (
    *("n", "h", "w", "c", "kernel_h", "kernel_w", "filter_c", "out_c", "stride_h", "stride_w"),
    *("dilation_h", "dilation_w", "pad_h", "pad_w", "out_h", "out_w"),
)
ANSWERS = (
    *("convolve_s8", "convolve_s16", "depthwise_s8", "depthwise_s4", "transpose", "reversed"),
    *("dense", "svdf", "average_pool_s8", "average_pool_s16"),
)
_SOURCES = (
    "ConvolutionFunctions/*get_buffer_sizes_s*.c",
    "FullyConnectedFunctions/*get_buffer_sizes_s*.c",
    "PoolingFunctions/*get_buffer_sizes_s*.c",
    "SVDFunctions/*get_buffer_sizes_s*.c",
)
_COUNT = 400


def draw(numbers: random.Random) -> tuple[str, tuple[int, ...]] | None:
    """A layer; None where the window does not fit."""
    line = numbers.random() < 0.3
    h, w = (1 if line else numbers.randint(1, 12)), numbers.randint(1, 24)
    c = numbers.choice((1, 1, 2, 3, 4, 5, 8, 12, 17, 20, 32))
    kernel_h = 1 if line else numbers.choice((1, 1, 2, 3, 3, 5))
    kernel_w = numbers.choice((1, 1, 2, 3, 3, 4, 5, 7))
    out_c = numbers.choice((1, 2, 4, 5, 8, 9, c, c, c))
    filter_c = c // 2 if c % 2 == 0 and numbers.random() < 0.1 else c
    stride_h, stride_w = numbers.choice((1, 1, 2, 3)), numbers.choice((1, 1, 2, 3, 4))
    dilation = numbers.choice((1, 1, 1, 1, 2))
    padding = numbers.choice((Padding.SAME, Padding.VALID))
    try:
        rows = window(h, kernel_h, stride_h, dilation, padding)
        columns = window(w, kernel_w, stride_w, dilation, padding)
    except ShapeError:
        return None
    return padding.value, (
        *(numbers.choice((1, 1, 1, 2)), h, w, c, kernel_h, kernel_w, filter_c, out_c),
        *(stride_h, stride_w, dilation, dilation, rows.before, columns.before),
        *(rows.outputs, columns.outputs),
    )


def ask(core: str, cmsis_nn: Path, cmsis: Path, rows: list[tuple[int, ...]]) -> list[list[int]]:
    compiler_core, machine = CORES[core]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = "".join("{" + ", ".join(map(str, row)) + "},\n" for row in rows)
        (folder / "rows.inc").write_text(text)
        sources = [path for pattern in _SOURCES for path in cmsis_nn.glob(f"Source/{pattern}")]
        script = "SECTIONS { .vectors 0 : { KEEP(*(.vectors)) } .text : { *(.text*) *(.rodata*) } }"
        (folder / "at_zero.ld").write_text(script + "\n")
        elf = folder / "scratch.elf"
        subprocess.run(
            [
                *("arm-none-eabi-gcc", f"-mcpu={compiler_core}", "-mthumb", "-mfloat-abi=softfp"),
                *("-O1", "-ffreestanding", "-nostdlib", "-ffunction-sections", "-Wl,--gc-sections"),
                *("-DARM_NN_ENABLE_F16=0", "-DARM_NN_ENABLE_F32=0"),
                *(f"-I{folder}", f"-I{cmsis_nn}/Include", f"-I{cmsis}/CMSIS/Core/Include"),
                *("-T", str(folder / "at_zero.ld"), "-Wl,-e,reset"),
                *(str(Path(__file__).parent / "scratch.c"), *map(str, sources)),
                *("-lc", "-lgcc", "-o", str(elf)),
            ],
            check=True,
        )
        done = subprocess.run(
            [
                *("qemu-system-arm", "-M", machine, "-nographic", "-monitor", "none"),
                *("-serial", "none", "-chardev", "stdio,id=said"),
                *("-semihosting-config", "enable=on,target=native,chardev=said"),
                *("-kernel", str(elf)),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    answers = [[int(number) for number in line.split()] for line in done.stdout.splitlines()]
    if len(answers) != len(rows):
        raise SystemExit(f"{core}: {len(answers)} answers to {len(rows)} questions")
    return answers


def main() -> None:
    cmsis_nn, cmsis = (Path(argument).resolve() for argument in sys.argv[1:])
    numbers = random.Random(1)
    layers = []
    while len(layers) < _COUNT:
        layer = draw(numbers)
        if layer is not None:
            layers.append(layer)
    rows = [row for _, row in layers]
    answers = {core: ask(core, cmsis_nn, cmsis, rows) for core in CORES}
    head = {
        "cmsis_nn": CMSIS_NN_COMMIT,
        "command": "python tools/tflm_arena/scratch.py CMSIS_NN CMSIS",
        "fields": FIELDS,
        "answers": ANSWERS,
    }
    lines = [
        json.dumps({"padding": padding, "layer": row} | {c: answers[c][i] for c in CORES})
        for i, (padding, row) in enumerate(layers)
    ]
    GOLDEN.write_text(json.dumps(head)[:-1] + ', "rows": [\n' + ",\n".join(lines) + "\n]}\n")
    print(f"{len(lines)} layers in {GOLDEN}")


if __name__ == "__main__":
    main()
