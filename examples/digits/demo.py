"""The whole way, on a board nobody needs to own: what `make demo` runs.

An int8 CNN for handwritten digits is exported as C, built, flashed to a virtual STM32F746G-DISCO
through its ROM bootloader, and profiled. Then every image of the held-back test set goes over the
wire, through the board, and back.

    python examples/digits/demo.py [--port PORT]      # a real board's port works just as well
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import data
import numpy as np
from rich.console import Console

from edge_autoglm import pipeline
from edge_autoglm.cli.common import progress, shown
from edge_autoglm.device.ports import find_port, open_port
from edge_autoglm.device.session import Session
from edge_autoglm.flash import flash_image
from edge_autoglm.measure.builds import remember
from edge_autoglm.measure.run import run_profile
from edge_autoglm.measure.verify import infer, same_model
from edge_autoglm.report.profile import profile_lines, profile_table
from edge_autoglm.report.sizes import size_tables
from edge_boards import load_board
from edge_quantize.inputs import quantize_array
from edge_quantize.reference import best_reference

MODEL = Path(__file__).with_name("digits_int8.tflite")


def main() -> int:
    parser = argparse.ArgumentParser(description="the digits demo")
    parser.add_argument("--board", default="stm32f746")
    parser.add_argument("--port", default="virtual")
    parser.add_argument("--output", type=Path, default=Path("out/demo"))
    options = parser.parse_args()
    out = Console(highlight=False)
    begun = time.monotonic()

    board = load_board(options.board)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    out.print(f"[1/5] exporting {MODEL.name} as C for {board.title}")
    exported = pipeline.export(MODEL, board, options.output)

    out.print("[2/5] building")
    with progress("compiling") as advance:
        built = pipeline.build(exported, board, progress=advance)
    remember(built.image, MODEL)
    out.print(f"      {built.toolchain}")

    out.print("[3/5] flashing")
    with progress("flashing") as advance:
        flashed = flash_image(board, built.image, options.port, progress=advance)
    out.print(f"      {flashed.size:,} B through {flashed.programmer}, read back and equal")

    out.print("[4/5] profiling")
    port = find_port(board, options.port)
    with progress("profiling") as advance:
        profile, _ = run_profile(board, port, progress=advance)
    out.print(profile_table(profile))
    for line in profile_lines(profile):
        out.print(line)
    for table in size_tables(built.image.sizes):
        out.print(table)

    held_back = data.held_back()
    count = len(held_back.labels)
    out.print(f"[5/5] streaming the held-back test set, {count} images, through the board")
    graph = pipeline.read_model(MODEL)
    reference = best_reference(graph)
    images = quantize_array(held_back.images, graph.tensor(graph.inputs[0]))
    right = agreeing = 0
    with Session(open_port(port)) as session, progress("streaming", count) as advance:
        model = same_model(session, graph)
        for number, (image, label) in enumerate(zip(images, held_back.labels, strict=True)):
            arrays = (image[np.newaxis],)
            (scores,) = infer(session, model, arrays)
            right += int(np.frombuffer(scores, np.int8).argmax()) == int(label)
            agreeing += scores == reference.run(arrays)[0].tobytes()
            advance(number + 1, count)

    where = "virtual board" if profile.virtual else "board"
    out.print(
        f"accuracy measured on the {where}: {right / count:.4f} ({right} of {count} right); "
        f"{agreeing} of {count} outputs equal {reference.name}'s bit for bit"
    )
    out.print(f"took {time.monotonic() - begun:.1f} s")
    if profile.virtual:
        # Beside this Python, which is not on PATH when `make demo` made it.
        program = shown(Path(sys.executable).with_name("edge-autoglm"))
        out.print(f"the virtual board goes on: `{program} virtual list`", soft_wrap=True)
    return 0 if agreeing == count or not reference.bit_exact else 1


if __name__ == "__main__":
    sys.exit(main())
