"""One model under every runtime: what each takes of the board, and what an inference costs.

Each runtime's image is built, and flashed and profiled where a board takes part, one after the
other. What cannot be had is left out with its reason; nothing is put in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_autoglm import pipeline
from edge_autoglm.device.ports import Port, open_port
from edge_autoglm.device.session import Session
from edge_autoglm.errors import ModelUnreadyError
from edge_autoglm.flash import flash_image
from edge_autoglm.flash.choice import choose_programmer
from edge_boards import Board
from edge_boards.errors import BoardsError
from edge_export import RUNTIMES, Exported, TflmExport, find_tree
from edge_export.errors import ExportError
from edge_export.tflm.tree import default_kernels
from edge_quantize.errors import UnsupportedModelError
from edge_quantize.graph import Graph
from edge_quantize.ingest.tflite import read_tflite

from .builds import remember
from .figures import Figure, Kind
from .profile import SEED, Profile, Verdict
from .run import run_profile
from .verify import infer_generated

COMPARED_INPUTS = 3
Progress = Callable[[float, float | None, str | None], None]


@dataclass(frozen=True)
class Side:
    """One runtime. Bytes, and instructions, cycles and milliseconds of an inference.

    `missing` says why what is not in `figures` is not there. `outputs` are those of
    COMPARED_INPUTS generated inputs, as the board gave them.
    """

    runtime: str
    title: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
    missing: str = ""
    toolchain: str = ""
    verdict: Verdict | None = None
    outputs: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """All runtimes, in the table's order."""

    board: str
    model: str
    sha256: str
    port: str | None
    sides: tuple[Side, ...]

    @property
    def outputs_equal(self) -> bool | None:
        """Whether all that ran gave the same bytes; None where fewer than two ran."""
        ran = [side.outputs for side in self.sides if side.outputs]
        return None if len(ran) < 2 else all(outputs == ran[0] for outputs in ran)

    @property
    def good(self) -> bool:
        """Whether something could be told, and nothing that ran was wrong."""
        if not any(side.figures for side in self.sides):
            return False
        verdicts = [side.verdict for side in self.sides if side.verdict is not None]
        return self.outputs_equal is not False and all(verdict.good for verdict in verdicts)


def compare_runtimes(
    model: Path,
    board: Board,
    folder: Path,
    *,
    port: str | None = None,
    tflm: Path | None = None,
    kernels: str | None = None,
    toolchain: str | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Exports `model` for every runtime into `folder` and takes what can be had of each.

    `port` is where the images are flashed to, one after the other; without it nothing runs.
    Raises what reading the model raises, and what no runtime is to blame for: a board that is not
    there, cannot be flashed, or does not answer.
    """
    graph = read_tflite(model)
    if port == "virtual":
        # What a virtual board needs is loaded only for one.
        from edge_boards.virtual import client

        client.check_needs(board)
    elif port is not None:
        choose_programmer(board, port)
    if tflm is not None:  # a wrong one is said before any work
        find_tree(tflm, board, kernels or default_kernels(board.core))
    steps = len(RUNTIMES) * 2
    sides: list[Side] = []
    for number, (name, row) in enumerate(RUNTIMES.items()):

        def say(done: int, doing: str) -> None:
            if progress:
                progress(2 * number + done, steps, doing)  # noqa: B023 - called within the turn

        say(0, f"building {row.title}")
        asked = pipeline.Asked(name, kernels=kernels if name == pipeline.TFLM else None)
        try:
            exported = pipeline.export(model, board, folder / name, asked)
        except (ExportError, UnsupportedModelError) as error:
            why, reasons = str(error), getattr(error, "problems", ())
            if reasons and str(reasons[0]) not in why:  # here is no list after the line
                why += f"; the first: {reasons[0]}"
            sides.append(Side(name, row.title, missing=why))
            continue
        stated = _stated(exported)
        if name == pipeline.TFLM and pipeline.builder(board, toolchain) == pipeline.PLATFORMIO:
            why = f"{board.title}'s framework links: `pio run` in the exported folder builds it"
            sides.append(Side(name, row.title, stated, missing=why))
            continue
        try:
            tree = tflm if name == pipeline.TFLM else None
            built = pipeline.build(exported, board, toolchain, tflm=tree)
        except (ExportError, BoardsError) as error:
            sides.append(Side(name, row.title, stated, missing=str(error)))
            continue
        figures = {**stated, **_sizes(built)}
        side = Side(name, row.title, figures, toolchain=built.toolchain)
        if port is None:
            sides.append(side)
            continue
        say(1, f"profiling {row.title}")
        remember(built.image, model)
        sides.append(_ran(side, board, port, built, graph))
    return Comparison(board.name, graph.name or model.stem, graph.sha256, port, tuple(sides))


def _stated(exported: Exported) -> dict[str, Figure]:
    """What an export tells before anything is built."""
    if isinstance(exported, TflmExport):
        return {
            "model": Figure(exported.model_bytes, Kind.EXACT),
            "arena": Figure(exported.arena_needed or exported.arena_bytes, Kind.MODELLED),
        }
    return {
        "model": Figure(exported.weight_bytes, Kind.EXACT),
        "arena": Figure(exported.arena_bytes, Kind.EXACT),
    }


def _sizes(built: pipeline.Built) -> dict[str, Figure]:
    """What the image tells. Static RAM is without stack and the wire's rings, which all share."""
    sizes = built.image.sizes
    return {
        "flash": Figure(sizes.flash, Kind.EXACT),
        "arena": Figure(sizes.arena, Kind.EXACT),  # what is set aside
        "code": Figure(sizes.code, Kind.EXACT),
        "static_ram": Figure(sizes.arena + sizes.static_ram, Kind.EXACT),
    }


def _ran(side: Side, board: Board, port: str, built: pipeline.Built, graph: Graph) -> Side:
    """The side with what its inference costs; a firmware that cannot run its model says why."""
    name = built.export.name
    try:
        report = flash_image(
            board, built.image, port, models={name: bytes.fromhex(built.export.model_sha256)}
        )
        profile, _ = run_profile(board, report.port, model=name)
        outputs = _outputs(report.port, graph)
    except ModelUnreadyError as error:  # this runtime's own; a board that fails, fails both
        return Side(
            side.runtime, side.title, side.figures, missing=str(error), toolchain=side.toolchain
        )
    return Side(
        side.runtime,
        side.title,
        {**side.figures, **_costs(profile)},
        missing="",
        toolchain=side.toolchain,
        verdict=profile.verdict,
        outputs=outputs,
    )


def _costs(profile: Profile) -> dict[str, Figure]:
    """What the board tells; not every one counts cycles or watches its stack."""
    watched = Kind.EXACT if profile.virtual else Kind.MEASURED
    told = {
        "instructions": profile.instructions,
        "cycles": profile.cycles,
        "latency_ms": profile.latency_ms,
    }
    found = {key: figure for key, figure in told.items() if figure is not None}
    for key, count in (("stack", profile.memory.stack), ("arena_used", profile.memory.arena_used)):
        if count is not None:
            found[key] = Figure(count, watched)
    return found


def _outputs(port: Port, graph: Graph) -> tuple[bytes, ...]:
    """The outputs for generated inputs, all of an inference's in one."""
    found = []
    with Session(open_port(port)) as session:
        model = session.model()
        state = SEED
        for _ in range(COMPARED_INPUTS):
            _, outputs, state = infer_generated(session, model, graph, state)
            found.append(b"".join(outputs))
    return tuple(found)
