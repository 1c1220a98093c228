"""`edge-autoglm bench`: one model on several backends, in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .bench_adb import (
    AcceleratorsOption,
    AdbOption,
    ApkOption,
    LimitOption,
    PhoneOptions,
    PrecisionOption,
    SerialOption,
    ThreadsOption,
    bench_adb,
)
from .common import (
    BoardsOption,
    JsonOption,
    ScaleOption,
    notes,
    output,
    progress,
    the_board,
    write_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_autoglm.backends import Backend
    from edge_boards import Board

INPUTS = 5


def bench(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A .tflite or .onnx file.")],
    backends: Annotated[
        str | None,
        typer.Option(
            "--backends",
            metavar="L",
            help="all (default), auto, or names of `backends`, with commas between (virtual:B and "
            "board:B too).",
        ),
    ] = None,
    board: Annotated[
        str | None,
        typer.Option(
            "--board",
            "-b",
            metavar="B",
            help="The board that `c`, `virtual` and `board` are of; with all, its virtual one too.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="D",
            help="Inputs to compare on: .npz, .npy, a folder, or MODULE:FUNCTION (default: "
            "pseudo-random).",
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples", min=1, metavar="N", help=f"Inputs that are compared (default: {INPUTS})."
        ),
    ] = None,
    runs: Annotated[
        int, typer.Option("-n", "--runs", min=1, help="Inferences measured on each backend.")
    ] = 50,
    scale: ScaleOption = None,
    boards: BoardsOption = None,
    json: JsonOption = None,
    adb: AdbOption = False,
    serial: SerialOption = None,
    apk: ApkOption = None,
    accelerators: AcceleratorsOption = None,
    threads: ThreadsOption = None,
    precision: PrecisionOption = None,
    limit: LimitOption = None,
) -> None:
    """Measure MODEL on this machine, boards and phones.

    Load, first inference, median, p95, memory, difference from the reference. Exits 1 when a
    backend computes wrong, or one that was named cannot run the model; with --adb when a run
    fails, or the GPU takes nothing of the model.
    """
    import logging

    from edge_autoglm.errors import UsageError

    phone = PhoneOptions(serial, apk, accelerators, threads, precision, limit)
    if adb:
        other = {"--backends": backends, "--board": board, "--boards": boards, "--data": data,
                 "--scale": scale, "--samples": samples}  # fmt: skip
        if given := [name for name, value in other.items() if value is not None]:
            raise UsageError(f"{', '.join(given)}: not with --adb, which measures on a phone only")
        bench_adb(model, phone, runs, json)
        return
    if phone.given:
        raise UsageError(f"{', '.join(phone.given)}: only with --adb")
    if scale is not None and data is None:
        raise UsageError("--scale: only with --data, whose pictures it is of")
    backends = "all" if backends is None else backends
    samples = INPUTS if samples is None else samples
    _check_board(_names(backends), board, boards is not None)

    from edge_autoglm.backends import find_backend, read_run_model, select_backend
    from edge_autoglm.backends.bench import bench as run
    from edge_autoglm.backends.choose import LOG, ports_of
    from edge_autoglm.backends.model import inputs_of
    from edge_autoglm.report.backends import bench_json, bench_lines, bench_table
    from edge_autoglm.report.tables import wrapped
    from edge_quantize.data.load import load_samples

    def load(name: str) -> Board:
        return the_board(name, boards)

    read = read_run_model(model)
    chosen = None if backends == "auto" else _named(backends, board, load)
    ports = ports_of(read)
    found = None
    if data is not None:
        found = load_samples(data, ports, scale=scale, most=samples, least=1)
    inputs = inputs_of(ports, found, samples)
    out = output(json)
    selection = None
    if chosen is None:
        LOG.addHandler(logging.NullHandler())  # its lines are printed here
        selection = select_backend("auto", read, samples=found)
        chosen = [selection.chosen]
        for line in selection.lines():
            out.print(wrapped(line, "  "), soft_wrap=True)
    count = "1 input" if len(inputs) == 1 else f"{len(inputs)} inputs"
    source = f"{count} of {data}" if data is not None else f"{count}, pseudo-random"
    with progress("measuring") as advance:
        result = run(
            read, chosen, inputs, source, runs,
            lambda done, total, doing: advance(done, total, doing),
        )  # fmt: skip
    out.print(bench_table(result))
    for line, mend in bench_lines(result):
        out.print(wrapped(line, "  "), soft_wrap=True)
        if mend:
            out.print(f"  -> {mend}", soft_wrap=True)
    asked = _names(backends)
    if "all" in asked and board is None:
        notes().print(
            "no board took part; --board B adds its virtual one, board:B a real one",
            soft_wrap=True,
        )
    write_json(json, bench_json(result, selection))
    named = {find_backend(name, load, board).name for name in asked if name not in ("all", "auto")}
    lacking = [row.name for row in result.rows if not row.ran and row.name in named]
    wrong = [row.name for row in result.rows if row.doubt]
    if not result.good or lacking:
        said = [f"wrong: {', '.join(wrong)}"] if wrong else []
        said += [f"not run: {', '.join(lacking)}"] if lacking else []
        text = f"edge-autoglm: {'; '.join(said) or 'nothing ran'}; see above"
        notes().print(text, soft_wrap=True)
        raise typer.Exit(1)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _check_board(names: list[str], board: str | None, boards: bool) -> None:
    """Refuses --board and --boards where nothing that is asked for is of a board of theirs."""
    from edge_autoglm.backends.generated_c import GeneratedC
    from edge_autoglm.backends.table import ALL, BOARD, VIRTUAL
    from edge_autoglm.errors import UsageError

    of_boards = [name.partition(":") for name in names if name.startswith((VIRTUAL, BOARD))]
    open_ = any(not rest.partition("@")[0] for _, _, rest in of_boards)
    heard = open_ or ALL in names or GeneratedC.name in names
    if board is not None and names and not heard:
        raise UsageError(
            f"--board: nothing in --backends {','.join(names)} is of it; it is for all, c, virtual "
            "and board"
        )
    if boards and board is None and not of_boards:
        raise UsageError("--boards: only where a board is named, with --board or in --backends")


def _named(text: str, board: str | None, load: Callable[[str], Board]) -> list[Backend]:
    """The backends that `--backends` lists, each once."""
    from edge_autoglm.backends import find_backend
    from edge_autoglm.backends.table import ALL, AUTO, FORMS, HOST, VIRTUAL
    from edge_autoglm.errors import UsageError

    names = _names(text)
    if not names:
        raise UsageError(f"--backends: names none; all, auto, or of {', '.join(FORMS)}")
    if AUTO in names:
        raise UsageError(f"--backends: {AUTO} stands alone; it chooses one by itself")
    if ALL in names:
        # A real board would be flashed: only when it is named.
        every = [*HOST, *([VIRTUAL] if board is not None else [])]
        names = [*every, *(name for name in names if name != ALL)]
    found = [find_backend(name, load, board) for name in names]
    return list({backend.name: backend for backend in found}.values())
